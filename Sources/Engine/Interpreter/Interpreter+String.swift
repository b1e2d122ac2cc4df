// String instructions of the interpreter, with their REP prefixes.
//
// Every iteration updates RSI, RDI and RCX before the next one touches memory, so a fault leaves the registers at the
// iteration that faulted, as silicon does, and the instruction can be restarted. The fast path keeps that promise by pages:
// the first element of a run goes the ordinary way and takes the fault if there is one; the rest of the run lies in the
// same pages and cannot fault.

import CHost

/// Where a string instruction stands: registers as the address size sees them, and the step.
private struct StringCursor<E: Width, A: Width> {
  var source: UInt64
  var destination: UInt64
  var count: UInt64
  let step: UInt64
  let segment: UInt64

  init(_ b: Interpreter, _ segment: UInt64, repeats: Bool) {
    source = b.readRegister(A.self, GeneralOffset.rsi)
    destination = b.readRegister(A.self, GeneralOffset.rdi)
    count = repeats ? b.readRegister(A.self, GeneralOffset.rcx) : 1
    let bytes = E.bits &>> 3
    step = b.flag(.direction) != 0 ? 0 &- bytes : bytes
    self.segment = segment
  }

  var linearSource: UInt64 { segment &+ source }

  static func wrapped(_ x: UInt64) -> UInt64 { A.bits == 32 ? x & 0xffff_ffff : x }

  mutating func advance(_ elements: UInt64, source movesSource: Bool, destination movesDestination: Bool) {
    let distance = elements &* step
    if movesSource { source = StringCursor.wrapped(source &+ distance) }
    if movesDestination { destination = StringCursor.wrapped(destination &+ distance) }
    count &-= elements
  }

  /// Elements that lie, upwards, in the page of linear address `address` and below 4 GiB of a 32-bit `offset`.
  static func run(_ address: UInt64, _ offset: UInt64) -> UInt64 {
    var bytes = 4096 &- (address & 4095)
    if A.bits == 32 { bytes = min(bytes, 0x1_0000_0000 &- offset) }
    return bytes / (E.bits &>> 3)
  }

  func store(_ b: Interpreter, repeats: Bool, source keepsSource: Bool, destination keepsDestination: Bool) {
    if keepsSource { b.writeRegister(A.self, GeneralOffset.rsi, source) }
    if keepsDestination { b.writeRegister(A.self, GeneralOffset.rdi, destination) }
    if repeats { b.writeRegister(A.self, GeneralOffset.rcx, count) }
  }
}

extension Interpreter {
  public func segmentBase(_ segment: ImplicitSegment) -> UInt64 {
    switch segment.number {
    case 1: return cpu.pointee.fs_base
    case 2: return cpu.pointee.gs_base
    default: return 0
    }
  }

  public func moveString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    let repeats = repetition != .none
    var cursor = StringCursor<E, A>(self, segmentBase(segment), repeats: repeats)
    while cursor.count != 0 {
      store(E.self, cursor.destination, load(E.self, cursor.linearSource))
      let rest = repeats ? movableElements(cursor) : 0
      if rest != 0 {
        let size = Int(truncatingIfNeeded: E.bits &>> 3)
        (host(cursor.destination) + size).copyMemory(
          from: host(cursor.linearSource) + size, byteCount: Int(truncatingIfNeeded: rest) &* size)
      }
      cursor.advance(rest &+ 1, source: true, destination: true)
      cursor.store(self, repeats: repeats, source: true, destination: true)
    }
  }

  /// How many elements after the first may be moved at once: upwards, within both pages, and not so far that an element
  /// is read which this run writes.
  private func movableElements<E: Width, A: Width>(_ cursor: StringCursor<E, A>) -> UInt64 {
    let bytes = E.bits &>> 3
    guard cursor.step == bytes else { return 0 }
    let source = cursor.linearSource
    let destination = cursor.destination
    var run = min(cursor.count, StringCursor<E, A>.run(source, cursor.source))
    run = min(run, StringCursor<E, A>.run(destination, destination))
    let distance = destination &- source
    if distance < 4096 && distance != 0 { run = min(run, distance / bytes) }
    return run > 1 ? run &- 1 : 0
  }

  public func storeString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition
  ) {
    let repeats = repetition != .none
    var cursor = StringCursor<E, A>(self, 0, repeats: repeats)
    let value = readRegister(E.self, GeneralOffset.rax)
    let bytes = E.bits &>> 3
    while cursor.count != 0 {
      store(E.self, cursor.destination, value)
      var run: UInt64 = 1
      if repeats && cursor.step == bytes {
        run = max(1, min(cursor.count, StringCursor<E, A>.run(cursor.destination, cursor.destination)))
        let first = host(cursor.destination)
        for index in 1..<max(1, Int(truncatingIfNeeded: run)) {
          let place = first + index &* Int(truncatingIfNeeded: bytes)
          place.storeBytes(of: E.Native(truncatingIfNeeded: value), as: E.Native.self)
        }
      }
      cursor.advance(run, source: false, destination: true)
      cursor.store(self, repeats: repeats, source: false, destination: true)
    }
  }

  public func loadString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    let repeats = repetition != .none
    var cursor = StringCursor<E, A>(self, segmentBase(segment), repeats: repeats)
    while cursor.count != 0 {
      writeRegister(E.self, GeneralOffset.rax, load(E.self, cursor.linearSource))
      cursor.advance(1, source: true, destination: false)
      cursor.store(self, repeats: repeats, source: true, destination: false)
    }
  }

  public func compareString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    let repeats = repetition != .none
    var cursor = StringCursor<E, A>(self, segmentBase(segment), repeats: repeats)
    while cursor.count != 0 {
      let x = load(E.self, cursor.linearSource)
      let y = load(E.self, cursor.destination)
      cursor.advance(1, source: true, destination: true)
      cursor.store(self, repeats: repeats, source: true, destination: true)
      if stops(E.self, x, y, repetition, isLast: cursor.count == 0) { return }
    }
  }

  public func scanString<E: Width, A: Width>(
    _ element: E.Type, _ address: A.Type, _ repetition: Repetition
  ) {
    let repeats = repetition != .none
    var cursor = StringCursor<E, A>(self, 0, repeats: repeats)
    let x = readRegister(E.self, GeneralOffset.rax)
    while cursor.count != 0 {
      let y = load(E.self, cursor.destination)
      cursor.advance(1, source: false, destination: true)
      cursor.store(self, repeats: repeats, source: false, destination: true)
      if stops(E.self, x, y, repetition, isLast: cursor.count == 0) { return }
    }
  }

  /// Whether a comparison ends the repetition; the flags are those of the last one. They are set in each iteration,
  /// because the next may fault.
  // PERF: part of the loops above.
  @inline(__always) private func stops<E: Width>(
    _ element: E.Type, _ x: UInt64, _ y: UInt64, _ repetition: Repetition, isLast: Bool
  ) -> Bool {
    setFlagsAfterSubtract(E.self, x, y, subtract(E.self, x, y))
    switch repetition {
    case .whileEqual: return isLast || x != y
    case .whileNotEqual: return isLast || x == y
    default: return true
    }
  }

  // MARK: Frames

  public func enterFrame<W: Width>(_ width: W.Type, size: UInt64, level: UInt64) {
    let bytes = W.bits &>> 3
    let level = level & 31
    let oldFrame = readRegister(W64.self, GeneralOffset.rbp)
    var stack = readRegister(W64.self, GeneralOffset.rsp) &- bytes
    let frame = stack
    store(W.self, stack, oldFrame)
    if level > 1 {
      var link = oldFrame
      for _ in 1..<level {
        link &-= bytes
        let value = load(W.self, link)
        stack &-= bytes
        store(W.self, stack, value)
      }
    }
    if level > 0 {
      stack &-= bytes
      store(W.self, stack, frame)
    }
    stack &-= size
    // The new top of the stack is touched by a write: a frame that does not fit faults here, with registers unchanged.
    vt_probe_write(host(stack))
    writeRegister(W.self, GeneralOffset.rbp, frame)
    writeRegister(W64.self, GeneralOffset.rsp, stack)
  }

  public func compareExchangePair<W: Width>(
    _ width: W.Type, _ address: UInt64, expected: (low: UInt64, high: UInt64),
    desired: (low: UInt64, high: UInt64)
  ) -> (low: UInt64, high: UInt64) {
    let pointer = host(address)
    if W.bits == 32 {
      var found = expected.low | (expected.high &<< 32)
      _ = vt_compare_exchange64(pointer, &found, desired.low | (desired.high &<< 32))
      return (found & 0xffff_ffff, found &>> 32)
    }
    var (low, high) = expected
    vt_compare_exchange128(pointer, &low, &high, desired.low, desired.high)
    return (low, high)
  }
}
