// The decoder's rules that files of programs do not show: prefixes in odd places, what is invalid and why, lengths at the
// limit, and the three modes. Ordinary instructions are compared with objdump by `decodecheck` (Docs/decoder.md).

import Testing
import X86

/// Bytes and what becomes of them in one mode; `text` is AT&T's syntax, nil when there must be no instruction.
struct DecodingCase: CustomTestStringConvertible, Sendable {
  let mode: OperatingMode
  let hex: String
  let text: String?

  init(_ mode: OperatingMode, _ hex: String, _ text: String?) {
    (self.mode, self.hex, self.text) = (mode, hex, text)
  }

  var testDescription: String { "\(mode) \(hex)" }
  var bytes: [UInt8] { hex.split(separator: " ").map { UInt8($0, radix: 16) ?? 0 } }
}

/// Decodes `bytes`, which must be used up; the text is written at address 0.
func decodedText(_ bytes: [UInt8], _ mode: OperatingMode, _ syntax: Disassembler.Syntax = .att) -> String? {
  bytes.withUnsafeBytes { buffer in
    guard let instruction = Decoder.decode(buffer, mode: mode), Int(instruction.length) == bytes.count else {
      return nil
    }
    return Disassembler(syntax: syntax).text(instruction, bytes: buffer, address: 0)
  }
}

@Suite struct DecoderTests {
  static let prefixes: [DecodingCase] = [
    // REX counts only directly before the opcode.
    .init(.bits64, "48 89 c3", "mov    %rax,%rbx"),
    .init(.bits64, "48 66 89 c3", "rex.W mov %ax,%bx"),
    .init(.bits64, "66 48 89 c3", "data16 mov %rax,%rbx"),
    .init(.bits64, "40 88 e0", "mov    %spl,%al"),
    .init(.bits64, "88 e0", "mov    %ah,%al"),
    // F2 and F3 win over 66, the last of them wins.
    .init(.bits64, "66 f3 0f 6f 00", "data16 movdqu (%rax),%xmm0"),
    .init(.bits64, "f2 f3 0f 10 00", "repnz movss (%rax),%xmm0"),
    .init(.bits64, "f3 f2 0f 10 00", "repz movsd (%rax),%xmm0"),
    .init(.bits64, "66 f2 0f 38 f1 c1", "crc32w %cx,%eax"),
    // Sizes.
    .init(.bits64, "66 66 90", "data16 xchg %ax,%ax"),
    .init(.bits64, "67 8b 00", "mov    (%eax),%eax"),
    .init(.bits64, "67 8b 05 04 00 00 00", "mov    0x4(%eip),%eax        # 0xb"),
    .init(.bits64, "66 50", "push   %ax"),
    .init(.bits64, "66 e8 00 00 00 00", "data16 call 0x6"),
    .init(.bits32, "66 e8 00 00", "callw  0x4"),
    .init(.bits16, "66 e8 00 00 00 00", "calll  0x6"),
    // Segments: only FS and GS count in 64-bit mode, and others do not cancel them.
    .init(.bits64, "64 2e 8b 00", "cs mov %fs:(%rax),%eax"),
    .init(.bits32, "26 8b 00", "mov    %es:(%eax),%eax"),
    .init(.bits64, "3e ff e0", "notrack jmp *%rax"),
    .init(.bits64, "2e 75 00", "jne,pn 0x3"),
  ]

  static let nops: [DecodingCase] = [
    .init(.bits64, "90", "nop"),
    .init(.bits64, "41 90", "xchg   %eax,%r8d"),
    .init(.bits64, "f3 90", "pause"),
    .init(.bits64, "f3 41 90", "repz xchg %eax,%r8d"),
    .init(.bits64, "48 90", "rex.W nop"),
    .init(.bits64, "66 2e 0f 1f 84 00 00 00 00 00", "cs nopw 0x0(%rax,%rax,1)"),
    .init(.bits64, "f3 0f 1e fa", "endbr64"),
    .init(.bits64, "f3 0f 1e c8", "rdsspd %eax"),
    .init(.bits64, "0f 1e c8", "nop    %eax"),
    .init(.bits64, "0f 0d 08", "prefetchw (%rax)"),
  ]

  static let locks: [DecodingCase] = [
    .init(.bits64, "f0 01 00", "lock add %eax,(%rax)"),
    .init(.bits64, "f0 01 c0", nil),
    .init(.bits64, "f0 03 00", nil),
    .init(.bits64, "f0 39 00", nil),
    .init(.bits64, "f0 0f c7 08", "lock cmpxchg8b (%rax)"),
    .init(.bits64, "f0 90", nil),
    .init(.bits64, "f0 0f a3 00", nil),
    .init(.bits64, "f0 0f ab 00", "lock bts %eax,(%rax)"),
  ]

  static let vectors: [DecodingCase] = [
    .init(.bits64, "c5 f8 28 c1", "vmovaps %xmm1,%xmm0"),
    // VEX.vvvv must be 1111 when it names no operand.
    .init(.bits64, "c5 f0 28 c1", nil),
    // 66, F2, F3, LOCK and REX before VEX are #UD.
    .init(.bits64, "66 c5 f8 28 c1", nil),
    .init(.bits64, "f3 c5 f8 28 c1", nil),
    .init(.bits64, "f0 c5 f8 28 c1", nil),
    .init(.bits64, "48 c5 f8 28 c1", nil),
    .init(.bits64, "64 c5 f8 28 00", "vmovaps %fs:(%rax),%xmm0"),
    // LES and LDS are VEX where ModRM.mod is 3; so for BOUND and EVEX.
    .init(.bits32, "c5 f8 28 c1", "vmovaps %xmm1,%xmm0"),
    .init(.bits32, "c5 00", "lds    (%eax),%eax"),
    .init(.bits32, "c4 00", "les    (%eax),%eax"),
    .init(.bits32, "62 00", "bound  %eax,(%eax)"),
    .init(.bits32, "62 f1 7c 48 28 c1", "vmovaps %zmm1,%zmm0"),
    .init(.bits64, "62 00", nil),
    // The vector length must be the row's; KMOV has none.
    .init(.bits64, "c5 fc 77", "vzeroall"),
    .init(.bits64, "c4 e2 7d 18 c1", "vbroadcastss %xmm1,%ymm0"),
    .init(.bits64, "c4 e2 7d 19 c1", "vbroadcastsd %xmm1,%ymm0"),
    .init(.bits64, "c4 e2 79 19 c1", nil),
    // Only /is4's register is used; the low bits are free.
    .init(.bits64, "c4 e3 71 4a c2 30", "vblendvps %xmm3,%xmm2,%xmm1,%xmm0"),
    .init(.bits64, "c4 e2 f9 93 04 88", "vgatherqpd %xmm0,(%rax,%xmm1,4),%xmm0"),
    // EVEX: displacement scaling, broadcast, rounding, opmask.
    .init(.bits64, "62 f1 7c 48 58 40 01", "vaddps 0x40(%rax),%zmm0,%zmm0"),
    .init(.bits64, "62 f1 7c 58 58 40 01", "vaddps 0x4(%rax){1to16},%zmm0,%zmm0"),
    .init(.bits64, "62 f1 7c 38 58 c1", "vaddps {rd-sae},%zmm1,%zmm0,%zmm0"),
    .init(.bits64, "62 f1 7c c9 58 c1", "vaddps %zmm1,%zmm0,%zmm0{%k1}{z}"),
    .init(.bits64, "62 f1 7c c8 58 c1", nil),
    .init(.bits64, "62 01 7c 48 28 ff", "vmovaps %zmm31,%zmm31"),
    .init(.bits64, "62 f1 7c 58 28 00", nil),
  ]

  /// Fields of EVEX that name nothing, each after an instruction that is like it otherwise.
  static let evex: [DecodingCase] = [
    // Memory is merged, not zeroed.
    .init(.bits64, "62 f1 7c 49 11 00", "vmovups %zmm0,(%rax){%k1}"),
    .init(.bits64, "62 f1 7c c9 11 00", nil),
    // There is no fourth length, but a fourth rounding mode.
    .init(.bits64, "62 f1 7e 78 58 c1", "vaddss {rz-sae},%xmm1,%xmm0,%xmm0"),
    .init(.bits64, "62 f1 7e 68 58 c1", nil),
    .init(.bits64, "62 f1 7e 68 58 00", nil),
    // V' belongs to vvvv, or to the index of a gather.
    .init(.bits64, "62 f1 7c 48 28 c1", "vmovaps %zmm1,%zmm0"),
    .init(.bits64, "62 f1 7c 40 28 c1", nil),
    .init(.bits64, "62 f1 7c 40 58 c1", "vaddps %zmm1,%zmm16,%zmm0"),
    .init(.bits64, "62 f2 7d 41 92 04 08", "vgatherdps (%rax,%zmm17,1),%zmm0{%k1}"),
    // R' and R of an opmask register; R' of a general register.
    .init(.bits64, "62 f1 7d 48 76 c1", "vpcmpeqd %zmm1,%zmm0,%k0"),
    .init(.bits64, "62 e1 7d 48 76 c1", nil),
    .init(.bits64, "62 71 7d 48 76 c1", nil),
    .init(.bits64, "62 71 ff 08 2d c1", "vcvtsd2si %xmm1,%r8"),
    .init(.bits64, "62 e1 ff 08 2d c1", nil),
    .init(.bits64, "62 f2 7e 48 52 c1", "vdpbf16ps %zmm1,%zmm0,%zmm0"),
  ]

  static let modes: [DecodingCase] = [
    .init(.bits32, "40", "inc    %eax"),
    .init(.bits16, "40", "inc    %ax"),
    .init(.bits32, "06", "push   %es"),
    .init(.bits64, "06", nil),
    .init(.bits64, "27", nil),
    .init(.bits32, "27", "daa"),
    .init(.bits32, "d6", "salc"),
    .init(.bits64, "d6", nil),
    .init(.bits32, "63 c1", "arpl   %ax,%cx"),
    .init(.bits64, "48 63 c1", "movslq %ecx,%rax"),
    .init(.bits32, "ea 04 03 02 01 10 00", "ljmp   $0x10,$0x1020304"),
    .init(.bits64, "ea 04 03 02 01 10 00", nil),
    .init(.bits16, "8b 42 05", "mov    0x5(%bp,%si),%ax"),
    .init(.bits16, "8b 06 34 12", "mov    0x1234,%ax"),
    .init(.bits16, "67 8b 00", "mov    (%eax),%ax"),
    .init(.bits32, "67 8b 07", "mov    (%bx),%eax"),
    .init(.bits32, "a1 78 56 34 12", "mov    0x12345678,%eax"),
    .init(.bits64, "a1 88 77 66 55 44 33 22 11", "movabs 0x1122334455667788,%eax"),
    .init(.bits64, "0f 05", "syscall"),
    .init(.bits64, "48 0f c7 0e", "cmpxchg16b (%rsi)"),
    // ModRM.mod is ignored: there is no memory operand, and so no displacement.
    .init(.bits64, "0f 20 00", "mov    %cr0,%rax"),
    .init(.bits64, "0f 22 45", "mov    %rbp,%cr0"),
    .init(.bits32, "0f 20 c0", "mov    %cr0,%eax"),
    // Six segment registers; CS cannot be loaded.
    .init(.bits64, "8e d8", "mov    %eax,%ds"),
    .init(.bits64, "8e c8", nil),
    .init(.bits64, "8e f0", nil),
    .init(.bits64, "8c c8", "mov    %cs,%eax"),
  ]

  @Test(arguments: prefixes + nops + locks + vectors + evex + modes)
  func decodes(_ item: DecodingCase) {
    #expect(decodedText(item.bytes, item.mode) == item.text)
  }

  @Test func lengthIsLimited() {
    var instruction = Instruction()
    let nop = [UInt8](repeating: 0x66, count: 14) + [0x90]
    #expect(nop.withUnsafeBytes { Decoder.decode($0, mode: .bits64, into: &instruction) } == .valid)
    #expect(instruction.length == 15)
    let long = [UInt8](repeating: 0x66, count: 15) + [0x90]
    #expect(long.withUnsafeBytes { Decoder.decode($0, mode: .bits64, into: &instruction) } == .tooLong)
  }

  @Test func everyTruncationNeedsMore() {
    let bytes: [UInt8] = [0x66, 0x64, 0x48, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8]
    for count in 0..<bytes.count {
      var instruction = Instruction()
      let status = bytes[..<count].withUnsafeBytes { Decoder.decode($0, mode: .bits64, into: &instruction) }
      #expect(status == .needsMoreBytes, "\(count) bytes")
    }
    #expect(decodedText(bytes, .bits64) == "data16 addq $0x8070605,%fs:0x4030201(%rax,%rcx,4)")
  }

  @Test func instructionIsSmall() {
    #expect(MemoryLayout<Instruction>.size <= 64)
  }

  @Test func operandsAreResolved() throws {
    let bytes: [UInt8] = [0x4c, 0x8b, 0x6c, 0xcd, 0xf8]
    let instruction = try #require(bytes.withUnsafeBytes { Decoder.decode($0, mode: .bits64) })
    #expect(instruction.operand(0) == .register(Register(.general64, 13)))
    let memory = MemoryOperand(
      segment: .ss, base: Register(.general64, 5), index: Register(.general64, 1), scale: 8, displacement: -8,
      width: 64, broadcastWidth: 0)
    #expect(instruction.operand(1) == .memory(memory))
    #expect(instruction.operand(2) == .none)
    #expect(instruction.info.operand(0).access == .write)
  }
}
