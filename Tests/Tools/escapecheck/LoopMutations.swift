// The test of the rule for loops: loops that the translator guards in front, whose code is then spoilt so that one thing is missing
// that the proof needs. In each loop every guard, every access and every step is needed, so each spoilt copy must be refused.

import Translator
import X86

extension Mutations {
  /// Loops: pointers that walk in one register or two, in host registers and in the CPU state; copies; two branches back.
  static func loops() -> [(name: String, bytes: [UInt8])] {
    func loop(_ name: String, _ body: [UInt8], end: [UInt8] = [0x75]) -> (String, [UInt8]) {
      let back = UInt8(truncatingIfNeeded: -(body.count + end.count + 1))
      return ("loop: " + name, body + end + [back, 0xeb, 0])
    }
    let walk: [UInt8] = [0x48, 0x81, 0xc3, 8, 0, 0, 0]  // add rbx, 8
    let walkDown: [UInt8] = [0x48, 0x81, 0xeb, 8, 0, 0, 0]  // sub rbx, 8
    let walkIndex: [UInt8] = [0x48, 0x81, 0xc6, 1, 0, 0, 0]  // add rsi, 1
    let walkR13: [UInt8] = [0x49, 0x81, 0xc5, 8, 0, 0, 0]  // add r13, 8
    let load: [UInt8] = [0x48, 0x8b, 0x03]  // mov rax, [rbx]
    let store: [UInt8] = [0x48, 0x89, 0x04, 0xf3]  // mov [rbx + rsi * 8], rax
    return [
      loop("walk", load + walk),
      loop("walk first", walk + load),
      loop("walk down", load + walkDown),
      loop("index", store + walkIndex),
      loop("base and index", store + walk + walkIndex),
      loop("base walks, index does not", store + walk),
      // lea r13, [r13 + 8] as add; mov rax, [r13]
      loop("in the state", [0x49, 0x8b, 0x45, 0x00] + walkR13),
      // mov [r13 + r14 * 4 + 16], rax
      loop("two in the state", [0x4b, 0x89, 0x44, 0xb5, 0x10] + walkR13),
      // mov rdi, rbx; add rbx, 8; mov rax, [rdi]
      loop("copy", [0x48, 0x89, 0xdf] + walk + [0x48, 0x8b, 0x07]),
      // mov ecx, [rbx + rsi * 4]; movzx esi, cl: the index is narrow from the second turn on
      loop("narrow index", [0x8b, 0x0c, 0xb3, 0x0f, 0xb6, 0xf1] + walk),
      // LOOP
      loop("loop", load + walk, end: [0xe2]),
      // jc back; add rbx, 8; jnz back
      ("loop: two branches", load + [0x72, 0xfb] + walk + [0x75, 0xf2, 0xeb, 0]),
    ]
  }

  /// Spoils what makes a loop harmless.
  mutating func spoilLoop(_ code: EmittedCode, _ layout: CacheLayout, _ name: String) {
    var offset = 0
    var head: Int?
    var places: [(offset: Int, instruction: Instruction)] = []
    while offset < code.bytes.count {
      let instruction = code.bytes.withUnsafeBytes { bytes in
        Decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[offset...]), mode: .bits64)
      }
      guard let instruction else { return }
      places.append((offset, instruction))
      offset += Int(instruction.length)
      let target = offset + Int(truncatingIfNeeded: instruction.immediate)
      let isBranch =
        instruction.info.attributes.contains(.flow) && instruction.info.operand(0).kind == .relative
      if isBranch, target < offset, target > 0 { head = head ?? target }
    }
    guard let head else { return survived("\(name): no loop with a guard in front") }
    for (offset, instruction) in places {
      let isInside = offset >= head
      for (kind, bytes) in Mutations.spoiltLoops(instruction, code.bytes, offset, isInside: isInside) {
        var spoilt = code
        spoilt.bytes = bytes
        check(spoilt, layout, kind, "\(name): \(kind) at +0x\(String(offset, radix: 16))")
      }
    }
  }

  private static func spoiltLoops(
    _ instruction: Instruction, _ bytes: [UInt8], _ offset: Int, isInside: Bool
  ) -> [(String, [UInt8])] {
    let length = Int(instruction.length)
    var copies: [(String, [UInt8])] = []
    func replace(_ name: String, at place: Int = 0, _ replacement: [UInt8]) {
      var copy = bytes
      for (index, byte) in replacement.enumerated() { copy[offset + place + index] = byte }
      copies.append((name, copy))
    }
    let nops = [UInt8](repeating: 0x90, count: length)
    let mnemonic = instruction.info.mnemonic.description
    let isAccess = instruction.prefixes.contains(.segment) && instruction.segment == .gs
    switch mnemonic {
    case "shrx" where !isInside: replace("loop: guard in front dropped", nops)
    case "jrcxz" where !isInside:
      // Past the jump that leaves, and past the second half of the guard as well.
      replace("loop: guard in front passed by", at: 1, [bytes[offset + 1] + 5])
    case "add" where isInside && length == 7, "sub" where isInside && length == 7:
      let place = length - 4
      replace("loop: step of 2 MiB", at: place, [0, 0, 0x20, 0])
      replace("loop: step of 2 GiB", at: place, [0xff, 0xff, 0xff, 0x7f])
      replace("loop: step of -2 GiB", at: place, [0, 0, 0, 0x80])
      // ADD and SUB become ADC, SBB, XOR: no constant moves the register.
      for digit: UInt8 in [2, 3, 6] {
        replace("loop: step changed", at: 2, [bytes[offset + 2] & 0xc7 | digit << 3])
      }
    case "mov" where isInside && instruction.opcode == 0x89 && instruction.modRM == 0xdf:
      // MOV RDI, RBX becomes MOV RDI, R11.
      replace("loop: copy of another register", at: 0, [bytes[offset] | 4])
    case "mov" where isInside && isAccess && instruction.opcode != 0xc7:
      // PREFETCHT0 of the same operand proves nothing; one byte longer than MOV without its REX prefix.
      if bytes[offset + 1] & 0xf0 == 0x40 {
        let rest = bytes[(offset + 3)..<(offset + length)]
        let rex = bytes[offset + 1] & 0x43
        let modRM = rest.prefix(1).map { $0 & 0xc7 | 1 << 3 }
        if rex == 0x40 {
          replace("loop: access becomes a hint", [0x65, 0x0f, 0x18] + modRM + rest.dropFirst())
        }
      }
    default: break
    }
    return copies
  }
}
