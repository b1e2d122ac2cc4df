// Intel's syntax, symbols, and buffers that are too small. AT&T's syntax is compared with objdump by `decodecheck`.

import Testing
import X86

@Suite struct DisassemblerTests {
  static let intel: [DecodingCase] = [
    .init(.bits64, "48 8b 44 8b f8", "mov    rax,QWORD PTR [rbx+rcx*4-0x8]"),
    .init(.bits64, "48 8d 3d 10 00 00 00", "lea    rdi,[rip+0x10]        # 0x17"),
    .init(.bits64, "64 48 8b 04 25 28 00 00 00", "mov    rax,QWORD PTR fs:0x28"),
    .init(.bits64, "c6 00 05", "mov    BYTE PTR [rax],0x5"),
    .init(.bits64, "48 d1 e0", "shl    rax,1"),
    .init(.bits64, "f3 48 ab", "rep stos QWORD PTR es:[rdi],rax"),
    .init(.bits64, "48 0f be 45 00", "movsx  rax,BYTE PTR [rbp+0x0]"),
    .init(.bits64, "dc e9", "fsub   st(1),st"),
    .init(.bits64, "de f1", "fdivrp st(1),st"),
    .init(.bits64, "0f c2 c1 01", "cmpltps xmm0,xmm1"),
    .init(.bits64, "ff 25 00 00 00 00", "jmp    QWORD PTR [rip+0x0]        # 0x6"),
    .init(.bits64, "48 98", "cdqe"),
    .init(.bits64, "62 f1 7c c9 58 c1", "vaddps zmm0{k1}{z},zmm0,zmm1"),
    .init(.bits32, "ff 2d 00 00 00 00", "jmp    FWORD PTR ds:0x0"),
  ]

  @Test(arguments: intel)
  func writesIntel(_ item: DecodingCase) {
    #expect(decodedText(item.bytes, item.mode, .intel) == item.text)
  }

  @Test func namesSymbols() throws {
    let bytes: [UInt8] = [0xe8, 0x0b, 0, 0, 0]
    let text = try bytes.withUnsafeBytes { buffer in
      let call = try #require(Decoder.decode(buffer, mode: .bits64))
      return Disassembler().text(call, bytes: buffer, address: 0x401000) { address, output in
        if address == 0x401010 { output.append(" <main>") }
      }
    }
    #expect(text == "call   0x401010 <main>")
  }

  @Test func staysWithinItsBuffer() throws {
    let bytes: [UInt8] = [0x48, 0x8b, 0x44, 0x8b, 0xf8]
    let instruction = try #require(bytes.withUnsafeBytes { Decoder.decode($0, mode: .bits64) })
    var memory = [UInt8](repeating: 0x21, count: 12)
    memory.withUnsafeMutableBufferPointer { all in
      var output = TextBuffer(UnsafeMutableBufferPointer(rebasing: all[..<8]))
      bytes.withUnsafeBytes { Disassembler().write(instruction, bytes: $0, address: 0, to: &output) }
      #expect(output.count == 8)
    }
    #expect(memory[8...].allSatisfy { $0 == 0x21 })
  }

  @Test func namesRegisters() {
    #expect(Register(.general8High, 0).name == "ah")
    #expect(Register(.general8, 4).name == "spl")
    #expect(Register(.general8, 9).name == "r9b")
    #expect(Register(.general32, 15).name == "r15d")
    #expect(Register(.general64, 6).name == "rsi")
    #expect(Register(.x87, 3).name == "st(3)")
    #expect(Register(.zmm, 31).name == "zmm31")
    #expect(Register(.segment, 5).name == "gs")
  }
}
