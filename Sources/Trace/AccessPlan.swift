// Which memory an instruction reads and writes: decided once from its row, as a few places, and turned into addresses with the registers
// of the moment. Operands that are written in the instruction come from the row; those that are not (the stack, string instructions,
// saved states) are known here by the instruction's name.
import CHost
import Engine
import GuestMemory
import X86

/// One access of one instruction.
struct MemoryAccess {
  var address: UInt64
  /// Bytes.
  var size: UInt64
  var isWrite: Bool
}

/// The places of one instruction.
struct AccessPlan {
  enum Place: UInt8 {
    case none
    /// The memory operand.
    case operand
    /// The memory operand of BT and its relatives: a string of bits, indexed by the register in ModRM.reg.
    case bits
    /// Each element of a VSIB operand; each element that a vector mask chooses.
    case elements, chosen
    /// Right below RSP; at RSP; at RBP.
    case below, top, frame
    /// [RSI], [RDI] of string instructions; [RDI] of masked moves; [RBX + AL].
    case source, destination, target, table
  }

  struct Item {
    var place = Place.none
    var isWrite = false
    /// Bytes; 0: as many as the enabled parts of the state take.
    var size: UInt16 = 0
  }

  private(set) var items = InlineArray<3, Item>(repeating: Item())
  private(set) var count = 0
  /// A repeated string instruction.
  private(set) var repeats = false

  init(_ instruction: Instruction) {
    let info = instruction.info
    let name = info.mnemonic
    let word = UInt16(instruction.operandSize / 8)
    let isPush = name.hasPrefix("push") || name.equals("call") || name.equals("enter")
    let isPop = name.hasPrefix("pop") && !name.hasPrefix("popcnt") || name.equals("ret")
    if !info.attributes.isDisjoint(with: [.rep, .repcc]) {
      repeats = !instruction.prefixes.isDisjoint(with: [.rep, .repne])
      addString(name, instruction)
      return
    }
    if isPop { add(.top, false, word) }
    if name.equals("leave") { add(.frame, false, word) }
    if name.equals("xlatb") || name.equals("xlat") { add(.table, false, 1) }
    if name.hasPrefix("maskmov") || name.hasPrefix("vmaskmovdqu") {
      add(.target, true, name.equals("maskmovq") ? 8 : 16)
    }
    for index in 0..<info.operandCount { addOperand(info.operand(index), instruction) }
    if isPush {
      let levels = name.equals("enter") ? instruction.secondImmediate & 31 : 0
      add(.below, true, word &* (levels &+ 1))
    }
  }

  private mutating func add(_ place: Place, _ isWrite: Bool, _ size: UInt16) {
    guard count < 3 else { return }
    items[count] = Item(place: place, isWrite: isWrite, size: size)
    count += 1
  }

  private mutating func addString(_ name: TextSlice, _ instruction: Instruction) {
    // The element's width is the mnemonic's last letter.
    let size: UInt16 =
      switch name[name.count - 1] {
      case UInt8(ascii: "b"): 1
      case UInt8(ascii: "w"): 2
      case UInt8(ascii: "q"): 8
      default: 4
      }
    if !name.hasPrefix("stos"), !name.hasPrefix("scas") { add(.source, false, size) }
    if name.hasPrefix("movs") || name.hasPrefix("stos") { add(.destination, true, size) }
    if name.hasPrefix("cmps") || name.hasPrefix("scas") { add(.destination, false, size) }
  }

  private mutating func addOperand(_ operand: OperandInfo, _ instruction: Instruction) {
    let isOffset = operand.kind == .memoryOffset
    guard isOffset || operand.letter == .modRM && instruction.hasMemoryOperand,
      operand.access != .none, operand.access != .address
    else { return }
    let info = instruction.info
    var size = operand.memoryWidth / 8
    if operand.broadcastWidth != 0, instruction.prefixes.contains(.evexB) {
      size = operand.broadcastWidth / 8
    }
    var place = Place.operand
    if operand.kind == .vectorMemory {
      place = .elements
      size = instruction.prefixes.contains(.w) ? 8 : 4
    } else if info.mnemonic.hasPrefix("vmaskmovp") || info.mnemonic.hasPrefix("vpmaskmov") {
      place = .chosen
    } else if info.mnemonic.hasPrefix("bt"), info.operand(1).letter == .register {
      place = .bits
    } else if size == 0 {
      size = AccessPlan.stateSize(instruction)
    }
    let bytes = UInt16(truncatingIfNeeded: size)
    if operand.access == .read || operand.access == .readWrite { add(place, false, bytes) }
    if operand.access != .read { add(place, true, bytes) }
  }

  /// Bytes of what FXSAVE, FNSTENV and the like save; 0 for XSAVE and its relatives, where it depends on registers.
  private static func stateSize(_ instruction: Instruction) -> Int {
    let name = instruction.info.mnemonic
    let isShort = instruction.operandSize == 16
    if name.hasPrefix("fx") { return 512 }
    if name.equals("fldenv") || name.equals("fnstenv") { return isShort ? 14 : 28 }
    if name.equals("frstor") || name.equals("fnsave") { return isShort ? 94 : 108 }
    return 0
  }
}

/// Turns plans into accesses.
struct AccessReader {
  private(set) var accesses: [MemoryAccess] = []
  // What string instructions are measured by when they are done.
  private var counter: UInt64 = 0
  private var isBackwards = false

  init() { accesses.reserveCapacity(32) }

  private func general(_ number: UInt8, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    // SAFETY: `general` is the state's first member, sixteen 64-bit words.
    UnsafeRawPointer(cpu).load(fromByteOffset: Int(number & 15) &* 8, as: UInt64.self)
  }

  private func segment(_ instruction: Instruction, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    instruction.segment == .fs ? cpu.pointee.fs_base : instruction.segment == .gs ? cpu.pointee.gs_base : 0
  }

  private func effective(_ instruction: Instruction, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    var address = UInt64(bitPattern: instruction.displacement)
    if instruction.base == Instruction.relative {
      address &+= cpu.pointee.rip &+ UInt64(instruction.length)
    } else if instruction.base != Instruction.none {
      address &+= general(instruction.base, cpu)
    }
    if instruction.index != Instruction.none {
      address &+= general(instruction.index, cpu) &<< UInt64(instruction.scale)
    }
    if instruction.addressSize == 32 { address &= 0xffff_ffff }
    return address &+ segment(instruction, cpu)
  }

  /// The accesses of an instruction that is about to be executed; those of string instructions when `finish` has been called.
  mutating func begin(_ entry: UnsafePointer<CodeEntry>, _ cpu: UnsafeMutablePointer<CPUState>) {
    accesses.removeAll(keepingCapacity: true)
    let plan = entry.pointee.accesses
    if plan.count == 0 { return }
    let instruction = entry.pointee.instruction
    for index in 0..<plan.count {
      let item = plan.items[index]
      var access = MemoryAccess(address: 0, size: UInt64(item.size), isWrite: item.isWrite)
      switch item.place {
      case .none: continue
      case .operand:
        access.address = effective(instruction, cpu)
        if item.size == 0 { access.size = AccessReader.extendedSize(instruction, cpu) }
        // POP computes its operand's address with RSP as it is behind the pop.
        if instruction.base == 4, index == 1, plan.items[0].place == .top { access.address &+= access.size }
      case .bits:
        let bits = UInt64(item.size) &* 8
        let offset = AccessReader.signed(general(instruction.reg, cpu), bits: bits)
        let words = offset &>> Int64(bits.trailingZeroBitCount)
        access.address = effective(instruction, cpu) &+ UInt64(bitPattern: words) &* UInt64(item.size)
      case .elements:
        addElements(instruction, item, cpu)
        continue
      case .chosen:
        addChosen(instruction, item, cpu)
        continue
      case .below: access.address = general(4, cpu) &- access.size
      case .top: access.address = general(4, cpu)
      case .frame: access.address = general(5, cpu)
      case .source: access.address = pointer(6, instruction, cpu) &+ segment(instruction, cpu)
      case .destination: access.address = pointer(7, instruction, cpu)
      case .target: access.address = pointer(7, instruction, cpu) &+ segment(instruction, cpu)
      case .table:
        let sum = general(3, cpu) &+ (general(0, cpu) & 0xff)
        access.address =
          (instruction.addressSize == 32 ? sum & 0xffff_ffff : sum) &+ segment(instruction, cpu)
      }
      accesses.append(access)
    }
    if plan.repeats {
      counter = pointer(1, instruction, cpu)
      isBackwards = cpu.pointee.lazyFlags.rflags & 0x400 != 0
    }
  }

  /// Behind the instruction: how far a repeated one has come, also when it was interrupted by a fault.
  mutating func finish(_ entry: UnsafePointer<CodeEntry>, _ cpu: UnsafeMutablePointer<CPUState>) {
    guard entry.pointee.accesses.repeats else { return }
    let done = counter &- pointer(1, entry.pointee.instruction, cpu)
    if done == 0 { return accesses.removeAll(keepingCapacity: true) }
    for index in accesses.indices {
      let element = accesses[index].size
      accesses[index].size = element &* done
      if isBackwards { accesses[index].address &-= element &* (done &- 1) }
    }
  }

  private func pointer(
    _ number: UInt8, _ instruction: Instruction, _ cpu: UnsafeMutablePointer<CPUState>
  ) -> UInt64 {
    let value = general(number, cpu)
    return instruction.addressSize == 32 ? value & 0xffff_ffff : value
  }

  private static func signed(_ value: UInt64, bits: UInt64) -> Int64 {
    let shift = 64 &- bits
    return Int64(bitPattern: value &<< shift) &>> Int64(shift)
  }

  // MARK: Vectors

  /// Bytes of a vector register: element `index` of `size` bytes.
  private func element(
    _ register: UInt8, _ index: Int, size: Int, _ cpu: UnsafeMutablePointer<CPUState>
  ) -> UInt64 {
    // SAFETY: 32 registers of 64 bytes; the index is below 64 / size.
    let place = UnsafeRawPointer(cpu) + Int(VT_OFFSET_VECTOR) + Int(register & 31) &* 64 + index &* size
    return size == 8
      ? place.loadUnaligned(as: UInt64.self) : UInt64(place.loadUnaligned(as: UInt32.self))
  }

  private func maskWord(_ number: UInt8, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64 {
    withUnsafeBytes(of: cpu.pointee.mask) {
      $0.loadUnaligned(fromByteOffset: Int(number & 7) &* 8, as: UInt64.self)
    }
  }

  private static func registerBytes(_ instruction: Instruction) -> Int {
    16 &<< Int(min(instruction.vectorLength, 2))
  }

  private mutating func addElements(
    _ instruction: Instruction, _ item: AccessPlan.Item, _ cpu: UnsafeMutablePointer<CPUState>
  ) {
    let info = instruction.info
    var indexSize = 4
    for position in 0..<info.operandCount where info.operand(position).kind == .vectorMemory {
      indexSize = info.operand(position).indexElementWidth / 8
    }
    let size = Int(item.size)
    let isMasked = info.space == .evex
    var base = UInt64(bitPattern: instruction.displacement)
    if instruction.base != Instruction.none { base &+= general(instruction.base, cpu) }
    // As many as the wider of the two kinds of element allows.
    for position in 0..<(AccessReader.registerBytes(instruction) / max(size, indexSize)) {
      let isChosen =
        isMasked
        ? maskWord(instruction.opmask, cpu) &>> UInt64(position) & 1 != 0
        : element(instruction.vvvv, position, size: size, cpu) &>> UInt64(size &* 8 &- 1) & 1 != 0
      guard isChosen else { continue }
      let raw = element(instruction.index, position, size: indexSize, cpu)
      let index = AccessReader.signed(raw, bits: UInt64(indexSize &* 8))
      var address = base &+ UInt64(bitPattern: index) &<< UInt64(instruction.scale)
      if instruction.addressSize == 32 { address &= 0xffff_ffff }
      accesses.append(
        MemoryAccess(
          address: address &+ segment(instruction, cpu), size: UInt64(size), isWrite: item.isWrite))
    }
  }

  private mutating func addChosen(
    _ instruction: Instruction, _ item: AccessPlan.Item, _ cpu: UnsafeMutablePointer<CPUState>
  ) {
    let name = instruction.info.mnemonic
    let last = name[name.count - 1]
    let size = last == UInt8(ascii: "d") && name.hasPrefix("vmaskmov") || last == UInt8(ascii: "q") ? 8 : 4
    let start = effective(instruction, cpu)
    for position in 0..<(Int(item.size) / size)
    where element(instruction.vvvv, position, size: size, cpu) &>> UInt64(size &* 8 &- 1) & 1 != 0 {
      accesses.append(
        MemoryAccess(
          address: start &+ UInt64(position &* size), size: UInt64(size), isWrite: item.isWrite))
    }
  }

  // MARK: Saved states

  /// How far the area of XSAVE and its relatives reaches with the components that EDX:EAX and XCR0 choose (SDM volume 1, chapter 13).
  private static func extendedSize(_ instruction: Instruction, _ cpu: UnsafeMutablePointer<CPUState>)
    -> UInt64
  {
    let chosen = (cpu.pointee.general.0 & 0xffff_ffff | cpu.pointee.general.2 &<< 32) & cpu.pointee.xcr0
    // Component, its offset in the standard form, its size.
    let parts: [(UInt64, UInt64, UInt64)] = [(2, 576, 256), (5, 1088, 64), (6, 1152, 512), (7, 1664, 1024)]
    let isCompact = instruction.info.mnemonic.hasPrefix("xsavec")
    var end: UInt64 = 576
    for (component, offset, size) in parts where chosen &>> component & 1 != 0 {
      end = isCompact ? end &+ size : offset &+ size
    }
    return end
  }
}
