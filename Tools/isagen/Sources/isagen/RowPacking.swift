// Packs rows into integers. The layout is mirrored by Sources/X86/Rows/RowInfo.swift:
//
//     first word   0 mnemonic offset:16   16 mnemonic length:5   21 operand list start:14   35 operand count:3
//                  38 immediate:4   42 second immediate:4   46 attributes:12   58 space:2   60 uses vvvv   61 VSIB
//     second word  0 flags:10   10 feature:8   18 feature:8   26 feature:8   34 log2 of disp8's scale:4
//                  38 mandatory prefix:3   41 operand size:2   43 address size:2   45 W:2   47 file:6
//                  53 opmask   54 zeroing   55 broadcast   56 rounding   57 suppress exceptions   58 vector length:3
//     operand      0 kind:5   5 letter:4   9 access:3   12 width:4   16 memory width:4   20 fixed number:5
//                  25 implied   26 sign-extended   27 broadcast:2   29 masked   30 64-bit VSIB index
//     widths       0 none   1 8   2 16   3 32   4 64   5 80   6 128   7 256   8 512   9 48 bits

struct RowPacking {
  /// Strings one after the other; a place is offset | length << 16.
  struct StringTable {
    private(set) var text = ""
    private(set) var places: [UInt64] = []
    private var known: [String: Int] = [:]

    mutating func add(_ string: String) -> Int {
      if let index = known[string] { return index }
      known[string] = places.count
      places.append(UInt64(text.utf8.count) | UInt64(string.utf8.count) << 16)
      text += string
      return places.count - 1
    }
  }

  private(set) var first: [UInt64] = []
  private(set) var second: [UInt64] = []
  private(set) var locations: [UInt64] = []
  private(set) var operands: [UInt64] = []
  private(set) var flags: [UInt64] = []
  private(set) var mnemonics = StringTable()
  private(set) var fileNames = StringTable()
  /// Features in alphabetic order; the number in the tables is the position plus 1.
  let features: [String]
  private let rows: [Row]
  private var operandLists: [[UInt64]: Int] = [:]
  private var flagSets: [[UInt64]: Int] = [:]

  init(_ instructionSet: InstructionSet) {
    rows = instructionSet.rows
    features = Set(rows.flatMap(\.features)).sorted()
    for file in instructionSet.files { _ = fileNames.add(file) }
  }

  mutating func pack() {
    for row in rows {
      first.append(firstWord(row))
      second.append(secondWord(row))
      locations.append(UInt64(fileNames.add(row.file)) << 16 | UInt64(row.line))
    }
  }

  private mutating func firstWord(_ row: Row) -> UInt64 {
    let name = mnemonics.add(row.mnemonic.lowercased())
    var word = mnemonics.places[name]
    word |= UInt64(operandList(row)) << 21 | UInt64(row.operands.count) << 35
    for (position, immediate) in row.encoding.immediates.enumerated() {
      word |= Self.immediateCode(immediate, row) << UInt64(38 + 4 * position)
    }
    for (bit, attribute) in Attribute.allCases.enumerated() where row.attributes.contains(attribute) {
      word |= 1 << UInt64(46 + bit)
    }
    word |= Self.spaceCode(row.encoding.space) << 58
    if row.operands.contains(where: { $0.letter == .vvvv }) { word |= 1 << 60 }
    if row.encoding.modRM == .vsib { word |= 1 << 61 }
    return word
  }

  private static func spaceCode(_ space: Encoding.Space) -> UInt64 {
    switch space {
    case .legacy: 0
    case .vex: 1
    case .evex: 2
    case .xop: 3
    }
  }

  /// 0 none; 1, 2, 3, 4: 1, 2, 4, 8 bytes; 5–7 the first three sign-extended; 8 is4; 9 moffs; 10 far pointer.
  private static func immediateCode(_ immediate: Encoding.Immediate, _ row: Row) -> UInt64 {
    let extended = row.operands.contains { $0.letter == .immediate && $0.isSignExtended }
    switch immediate {
    case .ib: return extended ? 5 : 1
    case .iw: return extended ? 6 : 2
    case .id: return extended ? 7 : 3
    case .io: return 4
    case .cb: return 5
    case .cw: return 6
    case .cd: return 7
    case .is4: return 8
    case .moffs: return 9
    case .cp: return 10
    }
  }

  private mutating func secondWord(_ row: Row) -> UInt64 {
    let encoding = row.encoding
    var word = UInt64(flagSet(row.flags))
    for (position, feature) in row.features.enumerated() {
      word |= UInt64((features.firstIndex(of: feature) ?? 0) + 1) << UInt64(10 + 8 * position)
    }
    word |= UInt64(Self.displacementScale(row)) << 34
    word |= UInt64(encoding.prefix.rawValue) << 38
    word |= UInt64(Self.sizeCode(encoding.operandSize)) << 41
    word |= UInt64(Self.sizeCode(encoding.addressSize)) << 43
    word |= (encoding.w == nil ? 0 : encoding.w == true ? 2 : 1) << 45
    word |= UInt64(fileNames.add(row.file)) << 47
    if row.operands.contains(where: \.isMasked) { word |= 1 << 53 }
    if row.operands.contains(where: \.zeroes) { word |= 1 << 54 }
    if row.operands.contains(where: { $0.broadcastWidth != 0 }) { word |= 1 << 55 }
    if row.operands.contains(where: \.rounds) { word |= 1 << 56 }
    if row.operands.contains(where: \.suppressesExceptions) { word |= 1 << 57 }
    return word | UInt64(encoding.vectorLength.rawValue) << 58
  }

  private static func sizeCode(_ bits: Int?) -> Int { bits == nil ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3 }

  /// EVEX multiplies an 8-bit displacement by the bytes that memory transfers: log2 of it. Gathers, scatters, compressing
  /// stores and expanding loads count one element.
  private static func displacementScale(_ row: Row) -> Int {
    guard row.encoding.space == .evex else { return 0 }
    var bits = row.operands.first { $0.allowsMemory }?.memoryWidth ?? 8
    let isElementwise = row.mnemonic.contains("COMPRESS") || row.mnemonic.contains("EXPAND")
    if row.encoding.modRM == .vsib || isElementwise {
      bits = row.encoding.w == true ? 64 : 32
      if row.mnemonic.hasSuffix("PRESSB") || row.mnemonic.hasSuffix("PANDB") { bits = 8 }
      if row.mnemonic.hasSuffix("PRESSW") || row.mnemonic.hasSuffix("PANDW") { bits = 16 }
    }
    return max(bits / 8, 1).trailingZeroBitCount
  }

  private mutating func flagSet(_ effects: FlagEffects) -> Int {
    let words = [effects.read, effects.written, effects.undefined, effects.cleared, effects.set].map {
      UInt64(FlagEffects.mask($0))
    }
    if let index = flagSets[words] { return index }
    let index = flags.count / 5
    flagSets[words] = index
    flags += words
    return index
  }

  private mutating func operandList(_ row: Row) -> Int {
    let words = row.operands.map(Self.operandWord)
    if let start = operandLists[words] { return start }
    let start = operands.count
    operandLists[words] = start
    operands += words
    return start
  }

  private static func operandWord(_ operand: Operand) -> UInt64 {
    let access = Operand.Access.allCases.firstIndex(of: operand.access) ?? 0
    var word = UInt64(operand.kind.rawValue) | UInt64(operand.letter.rawValue) << 5 | UInt64(access) << 9
    word |= UInt64(widthCode(operand.width)) << 12 | UInt64(widthCode(operand.memoryWidth)) << 16
    word |= UInt64(operand.fixed) << 20
    if operand.isImplied { word |= 1 << 25 }
    if operand.isSignExtended { word |= 1 << 26 }
    word |= UInt64([0: 0, 16: 1, 32: 2, 64: 3][operand.broadcastWidth] ?? 0) << 27
    if operand.isMasked { word |= 1 << 29 }
    if operand.indexElementWidth == 64 { word |= 1 << 30 }
    return word
  }

  private static func widthCode(_ bits: Int) -> Int {
    [8: 1, 16: 2, 32: 3, 64: 4, 80: 5, 128: 6, 256: 7, 512: 8, 48: 9][bits] ?? 0
  }
}
