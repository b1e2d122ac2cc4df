// The assembler against the decoder: what is written must decode to what was meant, for every register and every form of
// displacement; comparisons with constants are executed on the decoded instructions.

import Testing
import X86

@testable import Translator

/// Code as instructions.
struct Written {
  let instructions: [Instruction]
  let texts: [String]

  init(_ write: (inout Assembler) -> Void) throws {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    defer { memory.deallocate() }
    var assembler = Assembler(memory)
    write(&assembler)
    var instructions: [Instruction] = []
    var texts: [String] = []
    var place = UnsafePointer(memory)
    while place < assembler.cursor {
      let bytes = UnsafeRawBufferPointer(
        start: place, count: assembler.cursor - UnsafeMutablePointer(mutating: place))
      let instruction = try #require(Decoder.decode(bytes, mode: .bits64))
      instructions.append(instruction)
      texts.append(Disassembler().text(instruction, bytes: bytes, address: 0))
      place += Int(instruction.length)
    }
    (self.instructions, self.texts) = (instructions, texts)
  }

  /// One space between mnemonic and operands; displacements of zero, which RBP and R13 need, left out.
  var text: String {
    texts.map { $0.split(separator: " ").joined(separator: " ").replacing("+0x0]", with: "]") }
      .joined(separator: "; ")
  }
}

@Suite struct AssemblerTests {
  static let names = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
  ]
  private static let displacements: [Int32] = [0, 1, -1, 127, 128, -128, -129, .max, .min]

  private func hex(_ displacement: Int32) -> String {
    if displacement == 0 { return "" }
    return (displacement < 0 ? "-0x" : "+0x") + String(displacement.magnitude, radix: 16)
  }

  @Test func moves() throws {
    for (left, leftName) in AssemblerTests.names.enumerated() {
      for (right, rightName) in AssemblerTests.names.enumerated() {
        let written = try Written { $0.move(UInt8(left), UInt8(right)) }
        #expect(written.text == "mov \(leftName),\(rightName)")
      }
    }
  }

  @Test func loadsAndStoresWithABase() throws {
    for (base, name) in AssemblerTests.names.enumerated() {
      for displacement in AssemblerTests.displacements {
        for isGuest in [false, true] {
          let address = HostAddress(base: UInt8(base), displacement: displacement, isGuest: isGuest)
          let operand = "QWORD PTR \(isGuest ? "gs:" : "")[\(name)\(hex(displacement))]"
          #expect(try Written { $0.load(9, address) }.text == "mov r9,\(operand)")
          #expect(try Written { $0.store(2, address) }.text == "mov \(operand),rdx")
        }
      }
    }
  }

  @Test func indexes() throws {
    for (index, indexName) in AssemblerTests.names.enumerated() where index != 4 {
      for base in [0, 4, 5, 12, 13] {
        for scale in 0..<4 {
          for displacement in [0, -8, 0x1234] as [Int32] {
            let address = HostAddress(
              base: UInt8(base), index: UInt8(index), scale: UInt8(scale), displacement: displacement)
            let written = try Written { $0.loadEffectiveAddress(1, address) }
            let sum = "\(AssemblerTests.names[base])+\(indexName)*\(1 << scale)\(hex(displacement))"
            #expect(written.text == "lea rcx,[\(sum)]")
          }
        }
      }
    }
  }

  @Test func absoluteAddresses() throws {
    let written = try Written { $0.load(3, HostAddress(displacement: 0x1234_5678)) }
    #expect(written.text == "mov rbx,QWORD PTR gs:0x12345678")
    let indexed = try Written {
      $0.load(1, HostAddress(index: 1, scale: 3, displacement: 0x4000_0000, isGuest: false))
    }
    #expect(indexed.text == "mov rcx,QWORD PTR [rcx*8+0x40000000]")
  }

  @Test func shifts() throws {
    for (left, leftName) in AssemblerTests.names.enumerated() {
      for (right, rightName) in AssemblerTests.names.enumerated() {
        let shift = try Written { $0.shiftRight(UInt8(left), UInt8(right), by: 5) }
        #expect(shift.text == "shrx \(leftName),\(rightName),rbp")
        let other = try Written { $0.shiftRight(UInt8(left), 12, by: UInt8(right)) }
        #expect(other.text == "shrx \(leftName),r12,\(rightName)")
        let rotation = try Written { $0.rotate(UInt8(left), UInt8(right), right: 32) }
        #expect(rotation.text == "rorx \(leftName),\(rightName),0x20")
      }
    }
  }

  @Test(arguments: [
    0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, UInt64.max, UInt64.max - 5,
    0xffff_ffff_8000_0000,
    0xffff_ffff_7fff_ffff, 0x8000_0000_0000_0000, 0x1234_5678_9abc_def0,
  ])
  func constants(_ value: UInt64) throws {
    for register in 0..<16 {
      let written = try Written { $0.move(UInt8(register), constant: value) }
      let instruction = try #require(written.instructions.first)
      #expect(written.instructions.count == 1)
      let moved = instruction.immediate
      // The move of 32 bits clears the upper half, that of 64 bits extends the sign.
      let result =
        instruction.operandSize == 32 ? UInt64(UInt32(truncatingIfNeeded: moved)) : UInt64(bitPattern: moved)
      #expect(result == value)
      let number = instruction.modRMOffset == 0 ? instruction.opcodeRegister : instruction.rm
      #expect(Int(number) == register)
    }
  }

  @Test func jumpsEndWhereTheyAreCompleted() throws {
    for condition in 0..<16 as Range<UInt8> {
      let written = try Written { assembler in
        let long = assembler.jump(if: condition)
        let short = assembler.shortJump(if: condition)
        let zero = assembler.jumpIfScratchZero()
        let far = assembler.jump()
        assembler.nop()
        assembler.complete(long)
        assembler.completeShort(short)
        assembler.completeShort(zero)
        assembler.complete(far)
      }
      #expect(written.instructions.map(\.immediate) == [10, 8, 6, 1, 0])
    }
  }
}

/// Comparing with a constant without flags. Constants are addresses of guest code, so below 2^48.
@Suite struct DifferenceTests {
  /// The scratch register after LEA and RORX, from a value in both.
  private func execute(_ written: Written, _ value: UInt64) throws -> UInt64 {
    var scratch = value
    func held(_ register: UInt8) throws -> UInt64 {
      try #require(register == HostRegister.scratch || register == HostRegister.secondScratch)
      return register == HostRegister.scratch ? scratch : value
    }
    for instruction in written.instructions {
      #expect(instruction.reg == HostRegister.scratch && instruction.operandSize == 64)
      if instruction.info.mnemonic.equals("lea") {
        #expect(instruction.index == Instruction.none)
        scratch = try held(instruction.base) &+ UInt64(bitPattern: instruction.displacement)
      } else {
        try #require(instruction.info.mnemonic.equals("rorx"))
        #expect(instruction.immediate == 32)
        let source = try held(instruction.rm)
        scratch = source >> 32 | source << 32
      }
    }
    return scratch
  }

  private static let constants: [UInt64] = {
    var constants: [UInt64] = [0]
    for bit in 0..<48 as Range<UInt64> {
      let power: UInt64 = 1 << bit
      constants += [power, power &- 1, power &+ 1, (0 &- power) & 0xffff_ffff_ffff]
    }
    constants += [0x7fff_8000_0000, 0x8000_8000_0000, 0xffff_7fff_ffff, 0xffff_8000_0001]
    var random: UInt64 = 88_172_645_463_325_252
    for _ in 0..<1000 {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      constants += [random >> 16, random & 0xffff_ffff, random >> 18]
    }
    return constants
  }()

  private func others(than constant: UInt64) -> [UInt64] {
    let all: [UInt64] = [
      constant &+ 1, constant &- 1, ~constant, constant ^ 1 << 31, constant ^ 1 << 32, constant ^ 1 << 63,
      constant &+ 1 << 32, constant &- 1 << 32, constant >> 32 | constant << 32,
    ]
    return all.filter { $0 != constant }
  }

  @Test(arguments: [HostRegister.scratch, HostRegister.secondScratch])
  func isZeroForTheConstantOnly(source: UInt8) throws {
    for constant in DifferenceTests.constants {
      let written = try Written { Difference(constant).write(&$0, from: source) }
      #expect(try execute(written, constant) == 0)
      for other in others(than: constant) {
        #expect(try execute(written, other) != 0, "\(constant) and \(other)")
      }
    }
  }

  @Test func undone() throws {
    for constant in DifferenceTests.constants {
      let written = try Written {
        Difference(constant).write(&$0, from: HostRegister.scratch)
        Difference(constant).undo(&$0)
      }
      for value in others(than: constant) + [constant] {
        #expect(try execute(written, value) == value, "\(constant) and \(value)")
      }
    }
  }
}
