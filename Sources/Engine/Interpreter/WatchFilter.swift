// Finds the instructions that may access watched bytes, while all others run as fast as they can. In front of each access of a kind that
// matters an operation looks its address up in a table of bits, and leaves in front of the instruction where one is set. Whoever
// watches executes that one by itself and looks exactly.

import CHost
import X86

/// Where watched bytes are: a bit for every eight bytes of memory, by their address modulo 512 KiB.
public final class WatchFilter {
  fileprivate static let tableSize = 8192
  /// log2 of the bytes of memory that a bit stands for.
  fileprivate static let granule: UInt64 = 3
  /// Reads count, too.
  let seesReads: Bool
  // SAFETY: allocated in init, freed in deinit; operations of a cache that is flushed before the filter goes read it. Behind the table
  // its first word stands once more, for words that begin in its last bytes.
  fileprivate let table: UnsafeMutableRawPointer

  public init(_ ranges: [Range<UInt64>], seesReads: Bool) {
    self.seesReads = seesReads
    table = .allocate(byteCount: WatchFilter.tableSize + 8, alignment: 8)
    table.initializeMemory(as: UInt8.self, repeating: 0, count: WatchFilter.tableSize + 8)
    for range in ranges where !range.isEmpty {
      let first = range.lowerBound &>> WatchFilter.granule
      let count = min(
        ((range.upperBound &- 1) &>> WatchFilter.granule) &- first, UInt64(WatchFilter.tableSize * 8))
      for unit in 0...count { set(first &+ unit) }
    }
    table.storeBytes(of: table.load(as: UInt64.self), toByteOffset: WatchFilter.tableSize, as: UInt64.self)
  }

  deinit { table.deallocate() }

  private func set(_ unit: UInt64) {
    let place = Int(truncatingIfNeeded: unit &>> 3) & (WatchFilter.tableSize &- 1)
    let byte = table.load(fromByteOffset: place, as: UInt8.self)
    table.storeBytes(
      of: byte | 1 &<< UInt8(truncatingIfNeeded: unit & 7), toByteOffset: place, as: UInt8.self)
  }

  /// Bits that an access of so many bytes at any address may touch.
  fileprivate static func units(_ size: UInt64) -> UInt64 { (size &+ 14) &>> granule }

  /// The access may be to watched bytes.
  fileprivate func mayContain(_ address: UInt64, units: UInt64) -> Bool {
    WatchFilter.isSet(UnsafeRawPointer(table), address, units)
  }

  // PERF: executed in front of each access.
  @inline(__always)
  fileprivate static func isSet(_ table: UnsafeRawPointer, _ address: UInt64, _ units: UInt64) -> Bool {
    let unit = address &>> granule
    let place = Int(truncatingIfNeeded: unit &>> 3) & (tableSize &- 1)
    let bits = table.loadUnaligned(fromByteOffset: place, as: UInt64.self) &>> (unit & 7)
    return bits & (1 &<< units &- 1) != 0
  }
}

/// Looks at the operand whose address is base + index × scale + displacement. Fields as those of an address operation; in `a` are the
/// units that the access may touch (bits 0 to 3), the segment (4: FS, 5: GS) and whether addresses have 32 bits (6).
@c(vt_watch_operand)
func watchOperand(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let form = o.pointee.a
  var address = o.sum(c)
  if form & 0x40 != 0 { address &= 0xffff_ffff }
  if form & 0x10 != 0 { address &+= c.pointee.fs_base }
  if form & 0x20 != 0 { address &+= c.pointee.gs_base }
  // SAFETY: the table of the cache's filter.
  if let table = UnsafeRawPointer(bitPattern: Int(o.pointee.immediate)),
    WatchFilter.isSet(table, address, UInt64(form & 15))
  {
    return watchHere(o, c, w, n)
  }
  next(o, c, w, n)
}

/// Leaves in front of the instruction.
@c(vt_watch_here)
func watchHere(
  _ o: UnsafePointer<Operation>, _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  c.pointee.operation = UnsafeRawPointer(o)
  c.pointee.rip = o.pointee.rip
  c.pointee.exit_reason = ExitReason.watched
}

/// What of an instruction has to be looked at.
private enum WatchedAccess {
  case nothing
  /// Its operand in memory, of so many bytes.
  case operand(UInt64)
  /// So many bytes at a register (offset in the state) and displacement.
  case stack(register: UInt8, displacement: Int32)
  /// All of it: it may access anything, or this engine does not execute it.
  case everything
}

extension BlockWriter {
  /// Puts in front of the instruction what finds out whether it may access watched bytes.
  mutating func appendWatch(_ instruction: Instruction, _ filter: WatchFilter) {
    let fields = RowFields(row: Int(instruction.row))
    if fields.isPrivileged { return }
    if fields.flow == .none, !BlockWriter.isExecuted(instruction, fields) { return appendWatch() }
    switch BlockWriter.operandAccess(instruction, fields, filter) {
    case .nothing: break
    case .operand(let size): appendOperandWatch(instruction, fields, size, filter)
    default: return appendWatch()
    }
    switch BlockWriter.impliedAccess(instruction, fields, filter) {
    case .nothing, .operand: break
    case .stack(let register, let displacement):
      var operation = Operation()
      operation.b = register
      operation.c = GeneralOffset.zero
      operation.displacement = displacement
      appendWatch(&operation, 8, filter)
    case .everything: appendWatch()
    }
  }

  private mutating func appendWatch() {
    var operation = Operation()
    operation.handler = BlockWriter.pointer(watchHere)
    operation.rip = address
    write(operation)
  }

  private mutating func appendWatch(_ operation: inout Operation, _ size: UInt64, _ filter: WatchFilter) {
    operation.handler = BlockWriter.pointer(watchOperand)
    operation.rip = address
    operation.a |= UInt8(truncatingIfNeeded: WatchFilter.units(size))
    operation.immediate = Int64(Int(bitPattern: filter.table))
    write(operation)
  }

  private mutating func appendOperandWatch(
    _ instruction: Instruction, _ fields: RowFields, _ size: UInt64, _ filter: WatchFilter
  ) {
    let next = address &+ UInt64(instruction.length)
    let isNarrow = instruction.addressSize == 32
    let segment = BlockWriter.segmentCode(instruction)
    if instruction.base == Instruction.relative, segment == 0 {
      let place = next &+ UInt64(bitPattern: instruction.displacement)
      // Known already.
      if filter.mayContain(isNarrow ? place & 0xffff_ffff : place, units: WatchFilter.units(size)) {
        appendWatch()
      }
      return
    }
    let displacement = instruction.displacement
    guard Int64(Int32(truncatingIfNeeded: displacement)) == displacement, !fields.hasMemoryOffset,
      instruction.base != Instruction.relative
    else { return appendWatch() }
    let hasIndex = instruction.index != Instruction.none
    var operation = Operation()
    operation.b = instruction.base == Instruction.none ? GeneralOffset.zero : (instruction.base & 15) &* 8
    operation.c = hasIndex ? (instruction.index & 15) &* 8 : GeneralOffset.zero
    operation.d = hasIndex ? instruction.scale : 0
    operation.displacement = Int32(truncatingIfNeeded: displacement)
    operation.a = segment &<< 4 | (isNarrow ? 0x40 : 0)
    appendWatch(&operation, size, filter)
  }

  // MARK: What an instruction accesses

  private static func isRelevant(_ access: OperandInfo.Access, _ filter: WatchFilter) -> Bool {
    switch access {
    case .write, .readWrite, .conditionalWrite: true
    case .read: filter.seesReads
    case .none, .address: false
    }
  }

  private static func operandAccess(
    _ instruction: Instruction, _ fields: RowFields, _ filter: WatchFilter
  ) -> WatchedAccess {
    let info = instruction.info
    var size: UInt64 = 0
    for index in 0..<info.operandCount {
      let operand = info.operand(index)
      if operand.kind == .vectorMemory { return .everything }
      guard case .memory(let memory) = instruction.value(of: operand), isRelevant(operand.access, filter)
      else { continue }
      let bits = memory.broadcastWidth != 0 ? memory.broadcastWidth : memory.width
      // Save areas, bit strings, string operations, and what is popped into memory.
      if bits == 0 || bits > 512 || operand.letter == .fixed || fields.isString || fields.completesAddress
        || fields.isPop
      {
        return .everything
      }
      size = max(size, UInt64(bits / 8))
    }
    return size == 0 ? .nothing : .operand(size)
  }

  /// The stack, and accesses that no operand tells of.
  private static func impliedAccess(
    _ instruction: Instruction, _ fields: RowFields, _ filter: WatchFilter
  ) -> WatchedAccess {
    if fields.isString { return .everything }
    guard instruction.info.space == .legacy else {
      return instruction.info.mnemonic.hasPrefix("vmaskmovdqu") ? .everything : .nothing
    }
    let name = instruction.info.mnemonic
    if [.callf, .jmpf, .retf, .iret].contains(fields.flow) { return .everything }
    if fields.flow == .call || name.hasPrefix("push") {
      return .stack(register: GeneralOffset.rsp, displacement: -8)
    }
    for unusual in ["enter", "maskmov", "xlat"] as [StaticString] where name.hasPrefix(unusual) {
      return .everything
    }
    if !filter.seesReads { return .nothing }
    if fields.flow == .ret || name.hasPrefix("pop") {
      return .stack(register: GeneralOffset.rsp, displacement: 0)
    }
    return name.hasPrefix("leave") ? .stack(register: GeneralOffset.rbp, displacement: 0) : .nothing
  }
}
