// The rows that random blocks choose from, by family, with what the generator must know of each beyond its columns:
// registers written without being named, flags that are kept when a count is zero, forms.

import X86

/// One row with its forms and effects.
struct PoolRow {
  let row: Row
  let forms: [TestForm]
  let semantic: String
  /// General registers that are written without being operands.
  let implicitWrites: UInt32
  let reads: UInt32
  let defines: UInt32
  let undefines: UInt32
  /// The operand that may be memory.
  let memoryOperand: Operand?
  let immediateSize: Int

  /// Bytes that are accessed; 0 when nothing is.
  let accessSize: UInt64
  let isStore: Bool
  let isAligned: Bool

  init(_ row: Row) {
    self.row = row
    semantic = row.semantic?.name ?? ""
    forms = TestForm.allCases.filter { RowEncoder.allows(row, $0) }
    implicitWrites = PoolRow.implicitWrites(semantic)
    let flags = row.flags
    let written = FlagEffects.mask(flags.written + flags.cleared + flags.set) & FlagAnalysis.status
    undefines = FlagEffects.mask(flags.undefined) & FlagAnalysis.status
    var reads = FlagEffects.mask(flags.read) & FlagAnalysis.status
    // With a count of zero these keep the flags, so that nothing becomes defined; RCL and RCR do read CF.
    let keeps = PoolRow.counted.contains(semantic)
    if keeps { reads &= semantic.hasPrefix("rc") ? 1 : 0 }
    self.reads = reads
    defines = keeps || row.attributes.contains(.repcc) ? 0 : written
    let operand = row.operands.first { $0.letter == .modRM || $0.letter == .offset }
    memoryOperand = operand?.allowsMemory == true ? operand : nil
    immediateSize = row.encoding.immediates.reduce(0) { $0 + ($1.size ?? 0) }
    let isAccess = operand.map { $0.access != .none && $0.access != .address } ?? false
    let bits = operand.map { $0.kind == .vectorMemory ? $0.indexElementWidth : $0.memoryWidth } ?? 0
    accessSize = isAccess ? UInt64(max(bits, 8) / 8) : 0
    isStore = isAccess && operand?.access != .read
    // SHA's instructions want aligned operands on Intel's processors only.
    isAligned = row.attributes.contains(.align) || (!MakersChoice.isAMD && row.file == "sha.isa")
  }

  private static let counted: Set<String> = [
    "rol", "ror", "rcl", "rcr", "shl", "shr", "sar", "shld", "shrd",
  ]

  private static func implicitWrites(_ semantic: String) -> UInt32 {
    let (rax, rcx, rdx, rbx): (UInt32, UInt32, UInt32, UInt32) = (1, 2, 4, 8)
    switch semantic {
    case "mul", "imul1", "div", "idiv", "cmpxchg8b", "cmpxchg16b": return rax | rdx
    case "cmpxchg", "extendAccumulator", "lahf", "xlat": return rax
    case "extendIntoData": return rdx
    case "compareStringsIndex", "compareTerminatedStringsIndex": return rcx
    case "movs": return 1 << 6 | 1 << 7 | rcx
    case "cmps": return 1 << 6 | 1 << 7 | rcx
    case "stos", "scas": return 1 << 7 | rcx
    case "lods": return 1 << 6 | rcx | rax
    case "rdtsc", "xgetbv": return rax | rdx
    case "cpuid": return rax | rbx | rcx | rdx
    default: return 0
    }
  }

  /// General registers that an instruction of this row writes.
  func writes(_ instruction: Instruction) -> UInt32 {
    var mask = implicitWrites
    for operand in row.operands where operand.kind == .general {
      if operand.access == .none || operand.access == .read { continue }
      let number: UInt8
      switch operand.letter {
      case .register: number = instruction.reg
      case .modRM:
        if instruction.hasMemoryOperand { continue }
        number = instruction.rm
      case .vvvv: number = instruction.vvvv
      case .opcode: number = instruction.opcodeRegister
      case .fixed: number = UInt8(operand.fixed)
      default: continue
      }
      let isHigh =
        operand.width == 8 && operand.letter != .fixed && (4..<8).contains(number)
        && instruction.prefixes.isDisjoint(with: [.rex, .vex, .evex])
      mask |= 1 << UInt32((isHigh ? number - 4 : number) & 15)
    }
    return mask
  }
}

/// All rows that can stand in a block.
struct RowPool {
  enum Family: Int, CaseIterable { case integer, shift, bits, sse, avx, mmx, x87, nothing, special, avx512 }

  private(set) var rows: [PoolRow] = []
  private(set) var families: [[Int]] = Array(repeating: [], count: Family.allCases.count)
  /// Rows for templates of their own, by semantic.
  private(set) var bySemantic: [String: [Int]] = [:]
  /// Rows of which a block must be an example, for the coverage that is printed.
  private(set) var expected: Set<Int> = []

  /// In percent.
  private static let weights = [36, 9, 5, 12, 12, 5, 7, 1, 5, 8]

  /// Semantics that only templates use, because they need a prepared state.
  static let prepared: Set<String> = [
    "push", "pop", "pushImmediate", "pushSegment", "pushf", "popf", "enter", "leave", "xlat", "div", "idiv",
    "movs", "cmps",
    "stos", "lods", "scas", "cld", "std", "loadMXCSR", "x87LoadControl", "x87LoadEnvironment",
    "x87StoreEnvironment",
    "x87RestoreState", "x87SaveState", "fxsave", "fxrstor", "xsave", "xrstor", "maskedStoreBytes", "wrfsbase",
    "wrgsbase",
  ]
  /// Not a function of the state, or of a state that blocks do not have.
  private static let excluded: Set<String> = [
    "cpuid", "rdtsc", "rdtscp", "rdrand", "rdseed", "rdpid", "xgetbv", "popSegment", "movToSegment",
    "loadFar",
    "xsaveopt", "xsavec",
    "privileged",
  ]

  /// `vectors512`: also rows of AVX-512, which need no semantics where instructions are copied.
  init(_ all: [Row], vectors512: Bool) {
    for row in all {
      if row.isVectors512 && !vectors512 { continue }
      guard let semantic = row.semantic?.name ?? (row.isVectors512 ? "" : nil),
        !row.attributes.contains(.priv), !row.attributes.contains(.flow),
        !RowPool.excluded.contains(semantic), row.features.allSatisfy(HostFeatures.has)
      else { continue }
      if row.operands.contains(where: { $0.kind == .segment && $0.access != .read }) { continue }
      // MOVSXD r16 reads 16 bits on some processors, 32 on others.
      if row.mnemonic == "MOVSXD" && row.operands.first?.width == 16 { continue }
      // Undefined for half of the counts; blocks are compared behind it (MakersChoice).
      if !MakersChoice.isAMD && ["shld", "shrd"].contains(semantic) && row.operands.first?.width == 16 {
        continue
      }
      let poolRow = PoolRow(row)
      if poolRow.forms.isEmpty { continue }
      let index = rows.count
      rows.append(poolRow)
      expected.insert(index)
      if RowPool.prepared.contains(semantic) || row.encoding.modRM == .vsib {
        let name = row.encoding.modRM == .vsib ? "gather" : semantic
        bySemantic[name, default: []].append(index)
      } else {
        families[RowPool.family(row).rawValue].append(index)
      }
    }
  }

  private static func family(_ row: Row) -> Family {
    let file = row.file
    if row.semantic?.name == "nop" { return .nothing }
    if file == "base-shift.isa" { return .shift }
    if row.isVectors512 { return .avx512 }
    if file.hasPrefix("base") { return .integer }
    if file.hasPrefix("avx") || file == "fma.isa" || file == "f16c.isa" { return .avx }
    if file.hasPrefix("sse") || file == "ssse3.isa" { return .sse }
    if file == "mmx.isa" { return .mmx }
    if file == "x87.isa" { return .x87 }
    if ["bmi1.isa", "bmi2.isa", "popcnt.isa", "adx.isa", "movbe.isa", "cx16.isa"].contains(file) {
      return .bits
    }
    return .special
  }

  /// A row for an ordinary place in a block.
  func pick(_ random: inout RandomSource) -> Int {
    var number = random.below(100)
    for (family, weight) in RowPool.weights.enumerated() {
      number -= weight
      if number < 0 && !families[family].isEmpty { return random.pick(families[family]) }
    }
    return random.pick(families[0])
  }

  func pick(_ semantic: String, _ random: inout RandomSource) -> Int? {
    guard let list = bySemantic[semantic], !list.isEmpty else { return nil }
    return random.pick(list)
  }
}
