// Translated code as text: each guest instruction, and under it the host instructions that were made of it. The guest's
// bytes are kept when a block is made, because the guest may change them; the host's are read at the end or before the cache
// is emptied, so that links are shown as they were. Lines have 120 columns at most.
import GuestMemory
import Linux
import Translator
import X86

/// Collects the blocks that were asked for.
struct TranslationListing {
  private struct Kept {
    var number: Int
    var code: [UInt8]
  }

  private let output: TranslationOutput
  private let disassembler: Disassembler
  private var kept: [Kept] = []
  /// By place: where its symbol is in the program with this number, and whether a block was made of it.
  private var ranges: [Range<UInt64>?]
  private var isFound: [Bool]
  private var generation = 0

  init(_ output: TranslationOutput) {
    self.output = output
    disassembler = Disassembler(syntax: output.syntax)
    ranges = output.listed.map { _ in nil }
    isFound = output.listed.map { _ in false }
  }

  /// Block `number` was made.
  mutating func note(_ code: TranslatedCode, _ number: Int, _ symbols: ProgramSymbols, _ memory: AddressSpace)
  {
    if symbols.generation != generation {
      generation = symbols.generation
      ranges = output.listed.map { place in
        switch place {
        case .address(let address): address..<(address == .max ? address : address &+ 1)
        case .symbol(let name): symbols.range(of: name)
        }
      }
    }
    let guest = code.guest..<code.guest &+ UInt64(code.guestSize)
    var isWanted = false
    for (index, place) in output.listed.enumerated() {
      var range = ranges[index]
      if range == nil, case .symbol(let name) = place {
        range = symbols.range(of: name, inLibraryAt: code.guest)
      }
      guard range?.overlaps(guest) == true else { continue }
      isWanted = true
      isFound[index] = true
    }
    guard isWanted, let bytes = memory.bytes(at: GuestAddress(code.guest), count: code.guestSize) else {
      return
    }
    kept.append(Kept(number: number, code: bytes))
  }

  /// The blocks belong to somebody else now.
  mutating func forget() { kept = [] }

  /// The listing of all blocks since the last time.
  mutating func take(_ engine: TranslatorEngine, _ symbols: ProgramSymbols) -> String {
    defer { kept = [] }
    return kept.compactMap { one in
      engine.translation(number: one.number).map { block in
        let lines = BlockText(block, one.code, disassembler, engine, symbols).lines()
        return lines.map(TranslationListing.cut).joined(separator: "\n") + "\n\n"
      }
    }.joined()
  }

  private static func cut(_ line: String) -> String { line.count > 120 ? line.prefix(119) + "…" : line }

  /// One line for each place that nothing was translated of.
  func missing(_ symbols: ProgramSymbols) -> String {
    output.listed.indices.filter { !isFound[$0] }.map { index in
      switch output.listed[index] {
      case .address(let address): "vitrine: nothing was translated at \(address.hexadecimal)\n"
      case .symbol(let name):
        if symbols.isKnown(name) {
          "vitrine: nothing was translated of \(LoadError.name(name))\n"
        } else if symbols.isInlined(name) {
          "vitrine: \(LoadError.name(name)) has no code of its own, it is inlined in others\n"
        } else {
          "vitrine: there is no symbol \(LoadError.name(name))\n"
        }
      }
    }.joined()
  }
}

/// The text of one block.
private struct BlockText {
  let block: TranslatedBlock
  let code: [UInt8]
  let disassembler: Disassembler
  let engine: TranslatorEngine
  let symbols: ProgramSymbols

  init(
    _ block: TranslatedBlock, _ code: [UInt8], _ disassembler: Disassembler, _ engine: TranslatorEngine,
    _ symbols: ProgramSymbols
  ) {
    self.block = block
    self.code = code
    self.disassembler = disassembler
    self.engine = engine
    self.symbols = symbols
  }

  func lines() -> [String] {
    var lines = [headline]
    var end = block.entries.first?.host ?? 0
    if end > 0 {
      lines.append("  entry: counts the block's instructions")
      lines += hostLines(0..<end)
    }
    var last = -1
    for (index, entry) in block.entries.enumerated() {
      if entry.guest != last { lines.append(guestLine(entry.guest)) }
      last = entry.guest
      end = index + 1 < block.entries.count ? block.entries[index + 1].host : block.stubs
      lines += hostLines(entry.host..<max(end, entry.host))
    }
    for (index, exit) in block.exits.enumerated() {
      let end = index + 1 < block.exits.count ? block.exits[index + 1].stub : block.host.count
      lines.append("  exit \(index): " + describe(exit))
      lines += hostLines(exit.stub..<max(end, exit.stub))
    }
    return lines
  }

  private var headline: String {
    let count = Set(block.entries.map(\.guest)).count
    let state = block.isAlive ? "" : "; dead: the guest has changed this code"
    return
      "translation of \(named(block.guest)): \(count) instructions in \(code.count) bytes; host "
      + "\(block.hostAddress.hexadecimal), \(block.host.count) bytes, \(block.exits.count) exits" + state
  }

  private func named(_ address: UInt64) -> String {
    address.hexadecimal + (symbols.describe(address).map { " <\($0)>" } ?? "")
  }

  private func describe(_ exit: TranslatedBlock.Exit) -> String {
    switch exit.kind {
    case .branch: "branch to \(named(exit.target))" + (exit.isLinked ? ", linked" : "")
    case .interpret: "the interpreter executes \(named(exit.target))"
    case .systemCall: "system call, goes on at \(named(exit.target))"
    case .wildStack: "the stack pointer is outside the window, goes on at \(named(exit.target))"
    case .wildLoop: "a register of the loop is no address"
    case .budget: "the budget ends in this block"
    }
  }

  private func row(_ indent: String, _ address: UInt64, _ bytes: ArraySlice<UInt8>, _ text: String) -> String
  {
    let digits = String(address, radix: 16)
    let hex = bytes.map { FaultReport.hex(UInt64($0), digits: 2) }.joined(separator: " ")
    return indent + digits + String(repeating: " ", count: max(1, 14 &- digits.utf8.count)) + hex
      + String(repeating: " ", count: max(1, 34 &- hex.utf8.count)) + text
  }

  private func guestLine(_ offset: Int) -> String {
    let rest = code[min(offset, code.count)...]
    let address = block.guest &+ UInt64(offset)
    return rest.withUnsafeBytes { buffer in
      guard let instruction = Decoder.decode(buffer, mode: .bits64) else {
        return row("  ", address, rest.prefix(1), "(bad)")
      }
      let text = disassembler.text(instruction, bytes: buffer, address: address) { target, buffer in
        if let name = symbols.describe(target) { buffer.append(string: " <\(name)>") }
      }
      return row("  ", address, rest.prefix(Int(instruction.length)), text)
    }
  }

  private func hostLines(_ range: Range<Int>) -> [String] {
    var lines: [String] = []
    var offset = range.lowerBound
    while offset < range.upperBound {
      let rest = block.host[offset..<range.upperBound]
      let address = block.hostAddress &+ UInt64(offset)
      var length = 1
      let text = rest.withUnsafeBytes { buffer in
        guard let instruction = Decoder.decode(buffer, mode: .bits64) else { return "(bad)" }
        length = max(Int(instruction.length), 1)
        let text = disassembler.text(instruction, bytes: buffer, address: address) { target, buffer in
          if let name = hostName(target) { buffer.append(string: " <\(name)>") }
        }
        return text + (TranslatorEngine.stateField(instruction).map { "  # \($0)" } ?? "")
      }
      lines.append(row("      ", address, rest.prefix(length), text))
      offset &+= length
    }
    return lines
  }

  /// What a host branch leads to.
  private func hostName(_ target: UInt64) -> String? {
    if let exit = block.exits.firstIndex(where: { block.hostAddress &+ UInt64($0.stub) == target }) {
      return "exit \(exit)"
    }
    if let guest = engine.guestAddress(ofBlockAt: target) {
      return "block " + (symbols.describe(guest) ?? guest.hexadecimal)
    }
    if target &- block.hostAddress < UInt64(block.host.count) { return nil }
    return engine.isCommonCode(target) ? "leave" : nil
  }
}
