// Machine code as lines of text: for the disassembler command and for the instruction of a fault report.
// Decodes what it is given, byte by byte where nothing else is possible; never runs anything.
import Linux
import X86

/// Disassembles runs of bytes with the names of a symbol table.
public struct CodeListing {
  private let symbols: SymbolTable
  private let disassembler: Disassembler

  public init(symbols: SymbolTable, syntax: Disassembler.Syntax = .intel) {
    self.symbols = symbols
    disassembler = Disassembler(syntax: syntax)
  }

  /// The instruction at the start of `bytes`; nil when they are none. Targets are named as ` <main+0x10>`.
  public func instruction(_ bytes: UnsafeRawBufferPointer, at address: UInt64) -> (text: String, length: Int)?
  {
    guard let instruction = Decoder.decode(bytes, mode: .bits64) else { return nil }
    let text = disassembler.text(instruction, bytes: bytes, address: address) { target, buffer in
      guard let name = symbols.describe(target, shownAs: target) else { return }
      buffer.append(string: " <\(name)>")
    }
    return (text, Int(instruction.length))
  }

  /// One listing line for each instruction of `bytes`, which start at `address`, and a line before each
  /// symbol.
  public func lines(_ bytes: UnsafeRawBufferPointer, at address: UInt64, each: (String) -> Void) {
    var offset = 0
    while offset < bytes.count {
      let place = address &+ UInt64(truncatingIfNeeded: offset)
      if let symbol = symbols.nearest(to: place), symbol.address == place {
        each("")
        each("\(FaultReport.hex(place, digits: 16)) <\(LoadError.name(symbol.name))>:")
      }
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset..<min(offset &+ 15, bytes.count)])
      let decoded = instruction(rest, at: place)
      let length = decoded?.length ?? 1
      let shown = rest.prefix(length).map { FaultReport.hex(UInt64($0), digits: 2) }.joined(separator: " ")
      let padded = shown + String(repeating: " ", count: max(0, 30 &- shown.utf8.count))
      each("\(CodeListing.padded(place))  \(padded)  \(decoded?.text ?? "(bad)")")
      offset &+= length
    }
  }

  private static func padded(_ address: UInt64) -> String {
    let text = String(address, radix: 16)
    return String(repeating: " ", count: max(0, 12 &- text.utf8.count)) + text
  }
}
