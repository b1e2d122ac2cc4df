// The checker's own test: code that the translator emitted is spoilt in ways that would open the window, and each of the
// spoilt copies must be refused. Without that, a checker that accepts everything would pass.

import Translator
import X86

/// Spoils emitted code.
struct Mutations {
  private(set) var tried = 0
  private(set) var survivors: [String] = []
  private(set) var byKind: [String: Int] = [:]

  /// Guest code whose every guard is needed: accesses through registers, pushes, pops, string instructions, LEAVE.
  static func sources() -> [(name: String, bytes: [UInt8])] {
    var sources: [(String, [UInt8])] = []
    let templates = InstructionTemplate.all.filter {
      [
        "mov r64, m", "mov m, r64", "add m, r", "shl m, cl", "movups", "vmovups", "vpgatherdd", "push m",

      ]
      .contains($0.name)
    }
    for template in templates {
      for base in 0..<16 where base != 4 {
        for displacement: Int32 in [0, 0x7fff_ffff] {
          var operand = GuestOperand(base: base, displacement: displacement)
          if template.isVectorIndexed { operand.index = 3 }
          sources.append(
            ("\(template.name) base \(base)", template.encode(operand, register: 2, vvvv: 5) + [0xeb, 0]))
          operand.index = (base + 3) & 15 == 4 ? 5 : (base + 3) & 15
          operand.scale = 3
          sources.append(
            (
              "\(template.name) base \(base) index",
              template.encode(operand, register: 2, vvvv: 5) + [0xeb, 0]
            ))
        }
      }
    }
    let others: [(String, [UInt8])] = [
      ("rep movsb", [0xf3, 0xa4, 0xc3]), ("stosq", [0x48, 0xab, 0xc3]), ("lodsb", [0xac, 0xc3]),
      ("repne scasb", [0xf2, 0xae, 0xc3]), ("leave", [0xc9, 0xeb, 0]), ("push rax", [0x50, 0xeb, 0]),
      ("pop rbx", [0x5b, 0xeb, 0]), ("mov rsp, rax", [0x48, 0x89, 0xc4, 0xeb, 0]),
      ("sub rsp, 64", [0x48, 0x83, 0xec, 0x40, 0xeb, 0]), ("pop rsp", [0x5c, 0xeb, 0]),
      ("fs:[rax]", [0x64, 0x48, 0x8b, 0, 0xc3]), ("jmp rax", [0xff, 0xe0]),
      ("syscall", [0x0f, 0x05]),
    ]
    return sources + others
  }

  /// Spoils `code` in every way at every place; each copy must be refused.
  mutating func spoil(_ code: EmittedCode, _ layout: CacheLayout, _ name: String) {
    var offset = 0
    while offset < code.bytes.count {
      let instruction = code.bytes.withUnsafeBytes { bytes in
        Decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[offset...]), mode: .bits64)
      }
      guard let instruction else { return }
      for (kind, bytes) in Mutations.copies(instruction, code.bytes, offset) {
        var spoilt = code
        spoilt.bytes = bytes
        check(spoilt, layout, kind, "\(name): \(kind) at +0x\(String(offset, radix: 16))")
      }
      offset += Int(instruction.length)
    }
  }

  /// Spoils the charges of code that counts: whatever they do, RBP's low six bits are to stay the shift count.
  mutating func spoilCharges(_ code: EmittedCode, _ layout: CacheLayout, _ name: String) {
    // LEA RBP, [RBP + displacement]
    let charge: [UInt8] = [0x48, 0x8d, 0xad]
    for offset in code.bytes.indices.dropLast(7) where Array(code.bytes[offset..<offset + 3]) == charge {
      for (kind, place, byte) in [
        ("charge of a part", 3, code.bytes[offset + 3] ^ 4), ("charge from RAX", 2, 0xa8 as UInt8),
        ("charge of 32 bits", 0, 0x40), ("charge into RSP", 2, 0xa5),
      ] {
        var spoilt = code
        spoilt.bytes[offset + place] = byte
        check(spoilt, layout, kind, "\(name): \(kind) at +0x\(String(offset, radix: 16))")
      }
    }
  }

  /// A spoilt copy, which must be refused.
  mutating func check(_ spoilt: EmittedCode, _ layout: CacheLayout, _ kind: String, _ name: String) {
    tried += 1
    byKind[kind, default: 0] += 1
    if (try? Checker.check(spoilt, layout)) == nil { return }
    survived(name)
    if survivors.count <= 5 { printListing(spoilt.bytes) }
  }

  mutating func survived(_ name: String) { survivors.append(name) }

  /// What can be done to one instruction.
  private static func copies(
    _ instruction: Instruction, _ bytes: [UInt8], _ offset: Int
  ) -> [(String, [UInt8])] {
    let length = Int(instruction.length)
    var copies: [(String, [UInt8])] = []
    func add(_ name: String, at place: Int = 0, _ replacement: [UInt8]) {
      guard place + replacement.count <= length else { return }
      var copy = bytes
      for (index, byte) in replacement.enumerated() { copy[offset + place + index] = byte }
      copies.append((name, copy))
    }
    func replaceWhole(_ name: String, _ code: [UInt8]) {
      if code.count <= length { add(name, code + [UInt8](repeating: 0x90, count: length - code.count)) }
    }
    if InstructionClass.table[Int(instruction.row)] == .shiftRightX, !instruction.hasMemoryOperand {
      replaceWhole("guard dropped", [])
      add("guard's count changed to RAX", at: 2, [bytes[offset + 2] & 0x87 | 0x78])
      add("guard's count changed to R11", at: 2, [bytes[offset + 2] & 0x87 | 0x20])
      let (first, second, last) = (bytes[offset + 1] | 0x80, bytes[offset + 2], bytes[offset + 4])
      add("guard into RBP", at: 1, [first, second, 0xf7, 0xc0 | 5 << 3 | last & 7])
      replaceWhole("WRGSBASE RAX", [0xf3, 0x48, 0x0f, 0xae, 0xd8])
      replaceWhole("WRFSBASE RAX", [0xf3, 0x48, 0x0f, 0xae, 0xd0])
      replaceWhole("SYSCALL", [0x0f, 0x05])
      replaceWhole("SYSENTER", [0x0f, 0x34])
      replaceWhole("INT 80", [0xcd, 0x80])
      replaceWhole("MOV RBP, RAX", [0x48, 0x89, 0xc5])
      replaceWhole("XCHG RAX, RBP", [0x48, 0x95])
      replaceWhole("MOV BPL, AL", [0x40, 0x88, 0xc5])
      replaceWhole("MOV RSP, RAX", [0x48, 0x89, 0xc4])
      replaceWhole("PUSH RAX", [0x50])
      replaceWhole("POP RAX", [0x58])
      replaceWhole("MOV [RBP-60], RAX", [0x48, 0x89, 0x45, 0xc4])
      replaceWhole("MOV RAX, RBP", [0x48, 0x89, 0xe8])
      replaceWhole("MOV [RAX], RAX", [0x48, 0x89, 0x00])
      replaceWhole("MOV RAX, [RIP]", [0x8b, 0x05, 0, 0, 0])
      replaceWhole("JMP RAX", [0xff, 0xe0])
      replaceWhole("CALL RAX", [0xff, 0xd0])
      replaceWhole("XLATB", [0xd7])
      replaceWhole("REP STOSB", [0xf3, 0xaa])
      replaceWhole("RDMSR", [0x0f, 0x32])
      replaceWhole("XSETBV", [0x0f, 0x01, 0xd1])
    }
    addAccesses(instruction, bytes, offset, { add($0, at: $1, $2) }, replaceWhole)
    return copies
  }

  private static func addAccesses(
    _ instruction: Instruction, _ bytes: [UInt8], _ offset: Int,
    _ add: (String, Int, [UInt8]) -> Void, _ replaceWhole: (String, [UInt8]) -> Void
  ) {
    let modRM = Int(instruction.modRMOffset)
    let hasBase = instruction.base != Instruction.none && instruction.base != Instruction.relative
    if instruction.hasMemoryOperand, instruction.segment == .gs, instruction.prefixes.contains(.segment) {
      add("window's segment dropped", 0, [0x3e])
      if hasBase {
        // To RAX or R8, which no guard has seen.
        let place = bytes[offset + modRM] & 7 == 4 ? modRM + 1 : modRM
        add("base changed", place, [bytes[offset + place] & 0xf8])
      }
      let isStack = instruction.base == 15 && instruction.displacement == -8
      if isStack { replaceWhole("touch of the stack dropped", []) }
    }
    if instruction.opcode == 0xff, instruction.info.operand(0).kind == .general, instruction.modRM == 0xe1 {
      replaceWhole("JMP RDX", [0xff, 0xe2])
      replaceWhole("CALL RCX", [0xff, 0xd1])
    }
    let isAddress = InstructionClass.table[Int(instruction.row)] == .effectiveAddress
    if isAddress, instruction.base == Instruction.relative {
      replaceWhole("continuation dropped", [])
      add("continuation into RSP", 0, [0x48])
      add("continuation in RAX", 0, [0x48, 0x8d, 0x05])
      add("continuation inside an instruction", 3, [bytes[offset + 3] &+ 1])
      add("continuation in other code", 5, [1])
    }
    if instruction.opcode == 0xe9 {
      replaceWhole("jump into the middle of the way out", [0xe9, 0x11, 0x22, 0x33, 0x44])
    }
    // Another string instruction, which uses the pointer that was not guarded.
    if InstructionClass.table[Int(instruction.row)] == .string, instruction.opcode != 0xa4 {
      replaceWhole("string instruction on another pointer", [0xa4])
    }
  }
}
