// The encoder against the decoder: what was encoded must decode as the row it came from, with the same address.

import X86

enum EncodingCheck {
  /// How the decoder sees `encoded` differently; empty when it does not.
  static func differences(_ encoded: EncodedInstruction, _ row: Row) -> [String] {
    guard let instruction = encoded.bytes.withUnsafeBytes({ Decoder.decode($0, mode: .bits64) }) else {
      return ["cannot be decoded"]
    }
    var lines: [String] = []
    let (file, line) = instruction.info.location
    let location = "\(file.description):\(line)"
    if location != row.location { lines.append("decodes as \(location)") }
    if Int(instruction.length) != encoded.bytes.count {
      lines.append("decodes to \(instruction.length) bytes")
    }
    if let base = encoded.base {
      let index = encoded.vectorIndex ?? encoded.index ?? Int(Instruction.none)
      if Int(instruction.base) != base || Int(instruction.index) != index
        || instruction.displacement != encoded.displacement
      {
        lines.append(
          "decodes to base \(instruction.base), \(instruction.index) + \(instruction.displacement)")
      }
    }
    return lines
  }
}
