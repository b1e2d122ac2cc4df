// Mnemonics. Rows have Intel's; AT&T's differ in a few names, and carry a suffix where no register tells the size.

extension InstructionWriter {
  mutating func writeMnemonic(to buffer: inout TextBuffer) {
    if isString {
      writeStringName(&buffer)
    } else if !writePredicate(&buffer) {
      if isATT { writeATTName(&buffer) } else { writeIntelName(&buffer) }
    }
    if hasStackSuffix { buffer.append(instruction.mode == .bits16 ? "l" : "w") }
    if branchHint == 0x2e { buffer.append(",pn") }
    if branchHint == 0x3e { buffer.append(",pt") }
    if row.operandCount > 0 || isString || isExchangedNop || name.equals("xlatb") {
      // The column counts from the first prefix, as objdump has it.
      buffer.pad(to: start &+ 6)
      buffer.append(" ")
    }
  }

  /// `movsb`, and `stos` where a register tells the size (AT&T); Intel's have operands with sizes.
  private func writeStringName(_ buffer: inout TextBuffer) {
    for index in 0..<(name.count &- 1) { buffer.append(byte: name[index]) }
    let hasRegister = name.hasPrefix("stos") || name.hasPrefix("lods") || name.hasPrefix("scas")
    if isATT, !hasRegister { appendSuffix(stringWidth, &buffer) }
  }

  /// Bits of one element.
  var stringWidth: Int {
    switch name[name.count &- 1] {
    case 0x62: 8
    case 0x77: 16
    case 0x64: 32
    default: 64
    }
  }

  private func appendSuffix(_ width: Int, _ buffer: inout TextBuffer) {
    switch width {
    case 8: buffer.append("b")
    case 16: buffer.append("w")
    case 32: buffer.append("l")
    case 64: buffer.append("q")
    default: break
    }
  }

  // MARK: Intel

  private func writeIntelName(_ buffer: inout TextBuffer) {
    if isExchangedNop {
      buffer.append("xchg")
    } else if let other = renamed(Self.intelNames) {
      buffer.append(other)
    } else if isMovabs {
      buffer.append("movabs")
    } else {
      buffer.append(name)
    }
  }

  // MARK: AT&T

  private func writeATTName(_ buffer: inout TextBuffer) {
    if isExchangedNop {
      buffer.append("xchg")
    } else if isFar {
      buffer.append("l")
      buffer.append(name)
    } else if let other = renamed(Self.attNames) {
      buffer.append(other)
    } else if name.equals("movzx") || name.equals("movsx") {
      writeExtension(&buffer)
    } else if isMovabs {
      buffer.append("movabs")
    } else if let swapped = reversedX87 {
      buffer.append(swapped)
    } else {
      buffer.append(name)
      writeSuffix(&buffer)
    }
  }

  /// MOV with a 64-bit immediate or address.
  private var isMovabs: Bool {
    guard name.equals("mov") else { return false }
    let second = row.operand(1)
    if second.kind == .immediate, second.width == 64 { return true }
    return memoryOperand.kind == .memoryOffset && instruction.addressSize == 64
  }

  private var isFar: Bool {
    let kind = row.operand(0).kind
    return (kind == .farMemory || kind == .farPointer) && (name.equals("jmp") || name.equals("call"))
  }

  /// `movzbl`: both sizes.
  private func writeExtension(_ buffer: inout TextBuffer) {
    buffer.append(name.equals("movzx") ? "movz" : "movs")
    let source = row.operand(1)
    appendSuffix(source.width, &buffer)
    appendSuffix(row.operand(0).width, &buffer)
  }

  /// FSUB, FSUBR, FDIV, FDIVR with destination ST(i): AT&T's assembler exchanged them long ago, and kept it.
  private var reversedX87: StaticString? {
    guard instruction.opcode == 0xdc || instruction.opcode == 0xde, !instruction.hasMemoryOperand else {
      return nil
    }
    guard row.operandCount == 2 else { return nil }
    if name.equals("fsub") { return "fsubr" }
    if name.equals("fsubr") { return "fsub" }
    if name.equals("fsubp") { return "fsubrp" }
    if name.equals("fsubrp") { return "fsubp" }
    if name.equals("fdiv") { return "fdivr" }
    if name.equals("fdivr") { return "fdiv" }
    if name.equals("fdivp") { return "fdivrp" }
    if name.equals("fdivrp") { return "fdivp" }
    return nil
  }

  private func writeSuffix(_ buffer: inout TextBuffer) {
    let memory = memoryOperand
    if name.hasPrefix("crc32") { return appendSuffix(row.operand(1).width, &buffer) }
    guard instruction.hasMemoryOperand, memory.memoryWidth != 0 else { return }
    if name[0] == 0x66, memory.kind == .memory { return writeX87Suffix(memory.memoryWidth, &buffer) }
    if name.hasPrefix("cvtsi2") || name.hasPrefix("vcvtsi2") || name.hasPrefix("vcvtusi2") {
      return appendSuffix(memory.memoryWidth, &buffer)
    }
    if isNarrowing, memory.broadcastWidth == 0 || !instruction.prefixes.contains(.evexB) {
      buffer.append(memory.memoryWidth == 128 ? "x" : memory.memoryWidth == 256 ? "y" : "")
      return
    }
    if needsIntegerSuffix { appendSuffix(memory.memoryWidth, &buffer) }
  }

  /// Conversions whose destination does not tell the source's length.
  private var isNarrowing: Bool {
    guard row.space != .legacy else { return false }
    return name.equals("vcvtpd2ps") || name.equals("vcvtpd2dq") || name.equals("vcvttpd2dq")
      || name.equals("vcvtpd2udq") || name.equals("vcvttpd2udq") || name.equals("vcvtqq2ps")
      || name.equals("vcvtuqq2ps") || name.equals("vfpclassps") || name.equals("vfpclasspd")
  }

  private func writeX87Suffix(_ width: Int, _ buffer: inout TextBuffer) {
    if Self.isListed(name, in: "fldcw fnstcw fnstsw fldenv fnstenv fnsave frstor fbld fbstp fxsave fxrstor ")
    {
      return
    }
    if name[1] == 0x69 {
      buffer.append(width == 16 ? "s" : width == 32 ? "l" : "ll")
    } else {
      buffer.append(width == 32 ? "s" : width == 64 ? "l" : "t")
    }
  }

  /// Whether nothing but the suffix tells how wide the memory operand is.
  private var needsIntegerSuffix: Bool {
    for index in 0..<row.operandCount {
      let operand = row.operand(index)
      if operand.letter == .modRM {
        guard operand.kind == .general || operand.kind == .memory else { return false }
        continue
      }
      switch operand.kind {
      case .immediate, .constant: continue
      case .general where operand.letter == .fixed && operand.width == 8 && isShift: continue
      default: return false
      }
    }
    if name.hasPrefix("set") || row.attributes.contains(.flow) || name.hasPrefix("prefetch") { return false }
    if name.equals("push") || name.equals("pop") { return false }
    let none: StaticString =
      "cmpxchg8b cmpxchg16b ldmxcsr stmxcsr vldmxcsr vstmxcsr clflush clflushopt clwb cldemote invlpg sldt str lldt ltr verr verw smsw lmsw clrssbsy rstorssp "
    return !Self.isListed(name, in: none)
  }

  /// What moves the stack by the operand size, when 66 changes it and no register shows that.
  var hasStackSuffix: Bool {
    guard isATT, instruction.prefixes.contains(.operandSize) else { return false }
    let first = row.operand(0)
    if isFar { return true }
    if name.equals("ret") { return instruction.mode != .bits64 }
    if instruction.mode != .bits64, first.kind == .relative, first.width > 8 {
      return name.equals("call") || name.equals("jmp")
    }
    if first.kind == .general, first.letter == .opcode || !instruction.hasMemoryOperand { return false }
    return Self.isListed(
      name, in: "push pop pusha pushad popa popad pushf pushfd pushfq popf popfd popfq enter leave ")
  }

  private var isShift: Bool { instruction.opcode & 0xf0 == 0xd0 }

  // MARK: Tables of words

  /// Intel and AT&T names that differ from the rows' mnemonics: pairs, each word followed by one blank.
  private static var attNames: StaticString {
    "cbw cbtw cwde cwtl cdqe cltq cwd cwtd cdq cltd cqo cqto movsxd movslq pushfq pushf popfq popf pushfd pushf popfd popf xlatb xlat retf lret retfq lretq retfw lretw iretd iret sysret sysretl sysexit sysexitl pushad pusha popad popa fwait fwait pause pause pushfw pushfw "
  }
  private static var intelNames: StaticString {
    "pushfq pushf popfq popf pushfd pushf popfd popf xlatb xlat iretd iret pushad pusha popad popa "
  }

  private func renamed(_ table: StaticString) -> TextSlice? {
    if name.equals("movsxd"), instruction.operandSize != 64 { return nil }
    var words = WordList(table)
    while let word = words.next(), let other = words.next() {
      if word == name { return other }
    }
    return nil
  }

  static func isListed(_ name: TextSlice, in table: StaticString) -> Bool {
    var words = WordList(table)
    while let word = words.next() {
      if word == name { return true }
    }
    return false
  }
}

/// Words of a static string, each followed by one blank.
struct WordList {
  private let text: StaticString
  private var offset = 0

  init(_ text: StaticString) { self.text = text }

  mutating func next() -> TextSlice? {
    let rest = TextSlice(text: text, offset: offset, count: text.utf8CodeUnitCount &- offset)
    var length = 0
    while length < rest.count, rest[length] != 0x20 { length &+= 1 }
    guard length < rest.count else { return nil }
    offset &+= length &+ 1
    return TextSlice(text: text, offset: rest.offset, count: length)
  }

  /// The word at `index`.
  static func word(_ index: Int, of text: StaticString) -> TextSlice? {
    var words = WordList(text)
    for _ in 0..<index { _ = words.next() }
    return words.next()
  }
}
