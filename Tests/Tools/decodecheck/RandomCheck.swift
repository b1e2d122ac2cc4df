// Random byte strings at the end of a page, before a page without access: the decoder must neither crash nor read on.

import Glibc
import X86

enum RandomCheck {
  static func run(count: Int, seed: UInt64) {
    let page = 4096
    let access = PROT_READ | PROT_WRITE
    guard let memory = mmap(nil, 2 * page, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), memory != MAP_FAILED,
      mprotect(memory + page, page, PROT_NONE) == 0
    else { return print("no memory") }
    let end = memory + page
    var state = seed &* 2 &+ 1
    var counts = [Int](repeating: 0, count: 4)
    var text = [UInt8](repeating: 0, count: 256)
    for number in 0..<count {
      let length = number % 7 == 0 ? Int(next(&state) % 16) : 15
      let start = end - length
      fill(start, length, &state)
      let bytes = UnsafeRawBufferPointer(start: start, count: length)
      for mode in OperatingMode.allCases {
        var instruction = Instruction()
        let status = Decoder.decode(bytes, mode: mode, into: &instruction)
        counts[Int(status.rawValue)] += 1
        guard instruction.length <= 15, Int(instruction.length) <= length else { return fail(bytes, mode) }
        guard status == .valid else { continue }
        // Every sixteenth is also written in both syntaxes.
        guard number & 15 == 0 else { continue }
        text.withUnsafeMutableBufferPointer { buffer in
          for syntax in [Disassembler.Syntax.intel, .att] {
            var output = TextBuffer(buffer)
            Disassembler(syntax: syntax).write(instruction, bytes: bytes, address: 0x401000, to: &output)
          }
        }
      }
    }
    print(
      "\(count) strings in 3 modes: \(counts[0]) valid, \(counts[1]) invalid, \(counts[2]) cut off, "
        + "\(counts[3]) too long; no crash, no read beyond the end")
  }

  /// Random bytes; often with prefixes and escapes in front, which plain noise seldom has.
  private static func fill(_ start: UnsafeMutableRawPointer, _ length: Int, _ state: inout UInt64) {
    for index in 0..<length {
      start.storeBytes(of: UInt8(truncatingIfNeeded: next(&state) >> 24), toByteOffset: index, as: UInt8.self)
    }
    let interesting: [UInt8] = [
      0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x48, 0x41, 0x0f, 0x0f, 0x0f, 0xc4, 0xc5, 0x62, 0x38,
    ]
    let choice = next(&state)
    for index in 0..<min(Int(choice & 3), length) {
      let byte = interesting[Int(choice >> UInt64(8 + 4 * index) & 15)]
      start.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    }
  }

  private static func next(_ state: inout UInt64) -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_f491_4f6c_dd1d
  }

  private static func fail(_ bytes: UnsafeRawBufferPointer, _ mode: OperatingMode) {
    print("impossible length: \(bytes.map { String($0, radix: 16) }) \(mode)")
    exit(1)
  }
}
