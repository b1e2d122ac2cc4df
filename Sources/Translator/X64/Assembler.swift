// Writes host instructions. The few that templates need have a function each; everything else is copied from the guest's
// code (InstructionCopy.swift). Owns a cursor into memory that the code cache gave; the caller has made sure of the room.

import CHost

/// A memory operand of host code.
struct HostAddress {
  var base = HostRegister.none
  var index = HostRegister.none
  /// log2
  var scale: UInt8 = 0
  var displacement: Int32 = 0
  /// Relative to the guest window (GS), not to the host's own memory.
  var isGuest = true
  /// A field of the CPU state, as bytes from the pinned register.
  var isState = false

  /// A field of the CPU state.
  static func state(_ offset: Int32) -> HostAddress {
    HostAddress(base: HostRegister.state, displacement: offset, isGuest: false, isState: true)
  }

  func uses(_ register: UInt8) -> Bool { base == register || index == register }
}

/// What ModRM.rm names.
enum HostOperand {
  case register(UInt8)
  case memory(HostAddress)
}

/// What the second scratch register holds: a guest register of the CPU state, or a guarded address.
struct HeldRegister {
  var number = HostRegister.none
  var guarded = GuardedRegister.none
  /// It was not loaded but computed there, and is visibly in [-2^31, 2^32).
  var isNarrow = false
}

/// A cursor that host code is written at.
struct Assembler {
  // SAFETY: the code cache's writable mapping; the translator checks for room once a block.
  private(set) var cursor: UnsafeMutablePointer<UInt8>
  /// What the second scratch register holds besides, as long as nothing else is written there.
  var held = HeldRegister()
  /// Where the state lies whose fields are addressed; nil: relative to the pinned register.
  private let stateAddress: Int32?

  init(_ start: UnsafeMutablePointer<UInt8>, stateAddress: Int32? = nil) {
    cursor = start
    self.stateAddress = stateAddress
  }

  // PERF: these four are all that touches memory; a call for each byte would triple the time of translation.
  @inline(__always) mutating func byte(_ value: UInt8) {
    cursor.pointee = value
    cursor += 1
  }

  @inline(__always) mutating func word32(_ value: Int32) {
    UnsafeMutableRawPointer(cursor).storeBytes(of: value, as: Int32.self)
    cursor += 4
  }

  @inline(__always) mutating func word64(_ value: UInt64) {
    UnsafeMutableRawPointer(cursor).storeBytes(of: value, as: UInt64.self)
    cursor += 8
  }

  @inline(__always) mutating func bytes(_ source: UnsafePointer<UInt8>, _ range: Range<Int>) {
    for index in range { byte(source[index]) }
  }

  // MARK: Operands

  /// REX.R, X and B of an operand pair.
  static func extensions(_ reg: UInt8, _ operand: HostOperand) -> UInt8 {
    switch operand {
    case .register(let number): return (reg &>> 3 & 1) &<< 2 | number &>> 3 & 1
    case .memory(let address):
      let x: UInt8 = address.index == HostRegister.none ? 0 : address.index &>> 3 & 1
      let b: UInt8 = address.base == HostRegister.none ? 0 : address.base &>> 3 & 1
      return (reg &>> 3 & 1) &<< 2 | x &<< 1 | b
    }
  }

  /// ModRM, SIB and displacement. `scaledDisplacement`: the encoding multiplies 8-bit displacements, so none is used.
  mutating func operands(_ reg: UInt8, _ operand: HostOperand, scaledDisplacement: Bool = false) {
    let field = (reg & 7) &<< 3
    switch operand {
    case .register(let number): byte(0xc0 | field | number & 7)
    case .memory(let address): memory(field, address, scaledDisplacement)
    }
  }

  private mutating func memory(_ field: UInt8, _ address: HostAddress, _ scaledDisplacement: Bool) {
    if address.isState, let stateAddress {
      byte(field | 4)
      byte(0x25)
      return word32(stateAddress &+ address.displacement &+ Int32(VT_STATE_BIAS))
    }
    guard address.base != HostRegister.none else {
      byte(field | 4)
      let index: UInt8 = address.index == HostRegister.none ? 4 : address.index & 7
      byte(address.scale &<< 6 | index &<< 3 | 5)
      return word32(address.displacement)
    }
    let displacement = address.displacement
    let isShort = !scaledDisplacement && displacement >= -128 && displacement < 128
    let isAbsent = displacement == 0 && address.base & 7 != 5
    let mod: UInt8 = isAbsent ? 0 : isShort ? 0x40 : 0x80
    if address.index != HostRegister.none || address.base & 7 == 4 {
      byte(mod | field | 4)
      let index: UInt8 = address.index == HostRegister.none ? 4 : address.index & 7
      byte(address.scale &<< 6 | index &<< 3 | address.base & 7)
    } else {
      byte(mod | field | address.base & 7)
    }
    if isAbsent { return }
    if isShort { byte(UInt8(truncatingIfNeeded: displacement)) } else { word32(displacement) }
  }

  /// A 64-bit instruction of one opcode byte with a ModRM operand.
  mutating func wide(_ opcode: UInt8, _ reg: UInt8, _ operand: HostOperand) {
    release(reg, operand)
    if case .memory(let address) = operand, address.isGuest { byte(0x65) }
    byte(0x48 | Assembler.extensions(reg, operand))
    byte(opcode)
    operands(reg, operand)
  }

  /// The same, 32 bits.
  mutating func narrow(_ opcode: UInt8, _ reg: UInt8, _ operand: HostOperand) {
    release(reg, operand)
    if case .memory(let address) = operand, address.isGuest { byte(0x65) }
    let rex = Assembler.extensions(reg, operand)
    if rex != 0 { byte(0x40 | rex) }
    byte(opcode)
    operands(reg, operand)
  }

  /// An instruction with the second scratch register as an operand may write it.
  private mutating func release(_ reg: UInt8, _ operand: HostOperand) {
    if reg == HostRegister.secondScratch { held = HeldRegister() }
    if case .register(HostRegister.secondScratch) = operand { held = HeldRegister() }
  }

  // MARK: Instructions, none of which changes a flag

  mutating func move(_ destination: UInt8, _ source: UInt8) { wide(0x89, source, .register(destination)) }
  mutating func load(_ register: UInt8, _ address: HostAddress) { wide(0x8b, register, .memory(address)) }
  mutating func store(_ register: UInt8, _ address: HostAddress) { wide(0x89, register, .memory(address)) }
  mutating func loadState(_ register: UInt8, _ offset: Int32) { load(register, .state(offset)) }
  mutating func storeState(_ register: UInt8, _ offset: Int32) { store(register, .state(offset)) }

  /// Stores 32 bits into a field of the CPU state.
  mutating func storeState(constant: Int, _ offset: Int32) {
    narrow(0xc7, 0, .memory(.state(offset)))
    word32(Int32(truncatingIfNeeded: constant))
  }

  mutating func loadEffectiveAddress(_ register: UInt8, _ address: HostAddress) {
    var address = address
    address.isGuest = false
    wide(0x8d, register, .memory(address))
  }

  /// register += displacement
  mutating func add(_ register: UInt8, _ displacement: Int32) {
    loadEffectiveAddress(register, HostAddress(base: register, displacement: displacement))
  }

  /// The shortest move of a constant.
  mutating func move(_ register: UInt8, constant: UInt64) {
    release(register, .register(register))
    let rex = register &>> 3 & 1
    if constant <= UInt64(UInt32.max) {
      if rex != 0 { byte(0x41) }
      byte(0xb8 | register & 7)
      word32(Int32(truncatingIfNeeded: constant))
    } else if Int64(bitPattern: constant) == Int64(Int32(truncatingIfNeeded: constant)) {
      wide(0xc7, 0, .register(register))
      word32(Int32(truncatingIfNeeded: constant))
    } else {
      byte(0x48 | rex)
      byte(0xb8 | register & 7)
      word64(constant)
    }
  }

  /// destination = source >> (count & 63), unsigned (BMI2).
  mutating func shiftRight(_ destination: UInt8, _ source: UInt8, by count: UInt8) {
    vector(false, map: 2, prefix: 3, w: true, length: 0, 0xf7, destination, count, .register(source))
  }

  /// destination = source rotated right (BMI2).
  mutating func rotate(_ destination: UInt8, _ source: UInt8, right count: UInt8) {
    vector(false, map: 3, prefix: 3, w: true, length: 0, 0xf0, destination, 0, .register(source))
    byte(count)
  }

  /// An instruction in VEX or EVEX form; `prefix` as VEX.pp, `length` 0, 1, 2 for 128, 256, 512 bits.
  mutating func vector(
    _ isEVEX: Bool, map: UInt8, prefix: UInt8, w: Bool, length: UInt8, _ opcode: UInt8, _ reg: UInt8,
    _ vvvv: UInt8, _ operand: HostOperand
  ) {
    release(reg, operand)
    var inverted = ~Assembler.extensions(reg, operand) & 7
    let wide: UInt8 = w ? 0x80 : 0
    if isEVEX {
      if case .register(let number) = operand { inverted = inverted & 5 | (~number &>> 4 & 1) &<< 1 }
      byte(0x62)
      byte(inverted &<< 5 | (~reg &>> 4 & 1) &<< 4 | map)
      byte(wide | (~vvvv & 15) &<< 3 | 4 | prefix)
      byte(length &<< 5 | (~vvvv &>> 4 & 1) &<< 3)
    } else {
      byte(0xc4)
      byte(inverted &<< 5 | map)
      byte(wide | (~vvvv & 15) &<< 3 | length &<< 2 | prefix)
    }
    byte(opcode)
    operands(reg, operand, scaledDisplacement: isEVEX)
  }

  // MARK: Branches

  /// A jump to be completed by `complete`; returns where its 32-bit distance is.
  mutating func jump() -> UnsafeMutablePointer<UInt8> {
    byte(0xe9)
    word32(0)
    return cursor - 4
  }

  mutating func jump(if condition: UInt8) -> UnsafeMutablePointer<UInt8> {
    byte(0x0f)
    byte(0x80 | condition & 15)
    word32(0)
    return cursor - 4
  }

  mutating func call() -> UnsafeMutablePointer<UInt8> {
    byte(0xe8)
    word32(0)
    return cursor - 4
  }

  /// LEA of an address in the code that follows, to be completed by `complete`.
  mutating func loadAddressAhead(_ register: UInt8) -> UnsafeMutablePointer<UInt8> {
    release(register, .register(register))
    byte(0x48 | (register &>> 3) &<< 2)
    byte(0x8d)
    byte((register & 7) &<< 3 | 5)
    word32(0)
    return cursor - 4
  }

  /// JRCXZ over the bytes that follow, to be completed by `completeShort`.
  mutating func jumpIfScratchZero() -> UnsafeMutablePointer<UInt8> {
    byte(0xe3)
    byte(0)
    return cursor - 1
  }

  /// JRCXZ back to `target`, at most 126 bytes before it.
  mutating func jumpIfScratchZero(backTo target: UnsafeMutablePointer<UInt8>) {
    let place = jumpIfScratchZero()
    place.pointee = UInt8(truncatingIfNeeded: target - cursor)
  }

  mutating func shortJump(if condition: UInt8) -> UnsafeMutablePointer<UInt8> {
    byte(0x70 | condition & 15)
    byte(0)
    return cursor - 1
  }

  mutating func shortJump() -> UnsafeMutablePointer<UInt8> {
    byte(0xeb)
    byte(0)
    return cursor - 1
  }

  /// Lets the jump whose distance is at `place` end here.
  func complete(_ place: UnsafeMutablePointer<UInt8>) {
    UnsafeMutableRawPointer(place).storeBytes(
      of: Int32(truncatingIfNeeded: cursor - place - 4), as: Int32.self)
  }

  func completeShort(_ place: UnsafeMutablePointer<UInt8>) {
    place.pointee = UInt8(truncatingIfNeeded: cursor - place - 1)
  }

  mutating func nop() { byte(0x90) }

  /// Fills up to `distance` bytes before a multiple of `size`, a power of two, with NOPs of up to nine bytes (SDM volume 2, NOP).
  mutating func align(_ size: Int, before distance: Int = 0) {
    var gap = -(Int(bitPattern: cursor) &+ distance) & (size &- 1)
    while gap > 0 {
      let length = min(gap, 9)
      gap &-= length
      switch length {
      case 1: byte(0x90)
      case 2: word16(0x9066)
      default:
        if length == 6 || length == 9 { byte(0x66) }
        word16(0x1f0f)
        let rest = length == 6 || length == 9 ? length &- 3 : length &- 2
        // ModRM (and SIB) with a displacement as long as is left.
        byte(rest == 1 ? 0 : rest == 2 ? 0x40 : rest == 3 ? 0x44 : rest == 5 ? 0x80 : 0x84)
        for _ in 1..<rest { byte(0) }
      }
    }
  }

  private mutating func word16(_ value: UInt16) {
    byte(UInt8(truncatingIfNeeded: value))
    byte(UInt8(truncatingIfNeeded: value &>> 8))
  }
}
