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
    var noise = Noise(seed: seed)
    var counts = [Int](repeating: 0, count: 4)
    var text = [UInt8](repeating: 0, count: 256)
    for number in 0..<count {
      let length = number % 7 == 0 ? Int(noise.next() % 16) : 15
      let start = end - length
      noise.fill(UnsafeMutableRawBufferPointer(start: start, count: length))
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

  private static func fail(_ bytes: UnsafeRawBufferPointer, _ mode: OperatingMode) {
    print("impossible length: \(bytes.map { String($0, radix: 16) }) \(mode)")
    exit(1)
  }
}
