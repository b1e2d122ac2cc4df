// An address space with a translator in it, whose emitted code is checked as it is written. Nothing is ever executed. Owns
// the engine; counts blocks and remembers what was refused.

import CHost
import GuestMemory
import Translator
import X86

/// Guest code in, verdicts out.
final class Sandbox {
  /// Guest code is put at one of these: below 2 GiB, and where constants need 64 bits.
  static let places: [UInt64] = [0x2000_0000, 0x2fff_ffe0_0000]
  static let room: UInt64 = 2 << 20

  let space: AddressSpace
  let engine: TranslatorEngine
  var layout = CacheLayout()
  private(set) var blocks = 0
  private(set) var instructions = 0
  private(set) var refusals = 0
  /// Printed at most.
  var show = 10

  init?(_ window: IsolatedWindow?, counting: Bool = false, guarded: Bool = true, linking: Bool = true) {
    var options = TranslatorOptions()
    (options.countsInstructions, options.logsCalls) = (counting, counting)
    options.isGuarded = guarded
    options.cacheSize = 16 << 20
    options.linksBlocks = linking
    guard let space = try? AddressSpace(window),
      let engine = TranslatorEngine(memory: space, options: options)
    else {
      return nil
    }
    (self.space, self.engine) = (space, engine)
    engine.observe(
      TranslationObserver(
        wrote: { [unowned self] code in note(code) },
        willFlush: { [unowned self] in layout.blocks.removeAll(keepingCapacity: true) }))
    if layout.table == 0 { return nil }
  }

  private func note(_ code: TranslatedCode) {
    switch code.kind {
    case .block, .indirectEntry: layout.blocks.insert(code.hostAddress)
    case .common: noteCommon(EmittedCode(address: code.hostAddress, bytes: Array(code.host), isCommon: true))
    }
  }

  /// Learns from the common code where it is, and checks it.
  private func noteCommon(_ code: EmittedCode) {
    (layout.leave, layout.directCall, layout.state) = (code.address, code.address &+ 16, nil)
    (layout.permanent, layout.indirectMiss) = ([layout.leave, layout.directCall], code.address &+ 32)
    // The only load without a segment and base, but with an index, is that of the table of indirect entries; those
    // without an index are of the state of code that counts, and its ways out begin with storing RBP there.
    var offset = 32
    var instruction = Instruction()
    while offset < code.bytes.count {
      let status = code.bytes.withUnsafeBytes { bytes in
        Decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[offset...]), mode: .bits64, into: &instruction)
      }
      if status != .valid { break }
      if InstructionClass.table[Int(instruction.row)] == .effectiveAddress,
        Int(instruction.reg) == AbstractState.shadowStack
      {
        layout.indirectLookup = code.address &+ UInt64(offset) &+ UInt64(instruction.length)
      }
      if InstructionClass.table[Int(instruction.row)] == .move, instruction.hasMemoryOperand,
        instruction.base == Instruction.none
      {
        if instruction.index != Instruction.none {
          layout.table = instruction.displacement
        } else {
          layout.state = instruction.displacement & ~4095
          let address = code.address &+ UInt64(offset)
          if Int(instruction.reg) == AbstractState.state, instruction.info.operand(0).letter == .modRM {
            if layout.leave == code.address {
              layout.leave = address
            } else {
              layout.directCall = address
            }
          }
        }
      }
      offset += Int(instruction.length)
    }
    // Zeros fill up to the next cache line; they are never reached.
    var written = code
    while written.bytes.last == 0 { written.bytes.removeLast() }
    judge(written, "common code")
  }

  /// Checks a piece of code and prints what is wrong with it.
  @discardableResult
  func judge(_ code: EmittedCode, _ name: @autoclosure () -> String) -> Bool {
    blocks += 1
    do {
      instructions += try Checker.check(code, layout)
      return true
    } catch {
      refusals += 1
      if refusals <= show {
        print("refused: \(name()): \(error)")
        printListing(code.bytes, from: code.isCommon ? 14 : 0)
      }
      return false
    }
  }

  /// Translates and checks the block at `address`; nil when nothing is there.
  @discardableResult
  func check(_ address: UInt64, _ name: @autoclosure () -> String) -> TranslatedBlock? {
    guard let block = engine.translation(of: address) else { return nil }
    judge(EmittedCode(block), name())
    return block
  }

  /// Puts guest code at many places at once; earlier code there is forgotten.
  func load(_ pieces: [(address: UInt64, bytes: [UInt8])], at place: UInt64) -> Bool {
    let access: Permissions = [.read, .write, .execute]
    guard (try? space.mapAnonymous(at: place, size: Sandbox.room, permissions: access)) != nil else {
      return false
    }
    engine.flush()
    for piece in pieces {
      // SAFETY: mapped writable just now, and no code there has been translated yet.
      (space.base + Int(piece.address)).copyMemory(from: piece.bytes, byteCount: piece.bytes.count)
    }
    return true
  }
}

/// One instruction a line.
func printListing(_ bytes: [UInt8], from start: Int = 0) {
  var offset = start
  var scratch = Instruction()
  while offset < bytes.count {
    offset += bytes.withUnsafeBytes { raw in
      let rest = UnsafeRawBufferPointer(rebasing: raw[offset...])
      let instruction = Decoder.decode(rest, mode: .bits64, into: &scratch) == .valid ? scratch : nil
      let text = instruction.map { Disassembler().text($0, bytes: rest, address: UInt64(offset)) }
      print("    +0x\(String(offset, radix: 16))  \(text ?? "?")")
      return max(Int(scratch.length), 1)
    }
  }
}
