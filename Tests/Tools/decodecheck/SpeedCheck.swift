// How long decoding takes, over the .text of a file, without text.

import Glibc
import X86

enum SpeedCheck {
  static func run(_ files: [String]) {
    for file in files {
      guard let bytes = read(file) else {
        print("\(file): cannot be read")
        continue
      }
      var best = Double.infinity
      var count = 0
      for _ in 0..<15 {
        let start = now()
        count = bytes.withUnsafeBytes { decodeAll($0) }
        best = min(best, (now() - start) / Double(max(count, 1)))
      }
      print("\(file): \(count) instructions, \(best) ns an instruction")
    }
  }

  /// Decodes from the beginning; a byte that begins no instruction is skipped.
  private static func decodeAll(_ bytes: UnsafeRawBufferPointer) -> Int {
    var position = 0
    var count = 0
    var instruction = Instruction()
    while position < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
      let status = Decoder.decode(rest, mode: .bits64, into: &instruction)
      position += status == .valid ? Int(instruction.length) : 1
      count += 1
    }
    return count
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }

  /// The file's .text, at most 4 MiB, found through its section headers' copy in `objdump -h`.
  private static func read(_ file: String) -> [UInt8]? {
    var place: (offset: Int, size: Int)?
    Lines.each("objdump -h '\(file)'") { line in
      let words = String(decoding: line, as: UTF8.self).split(separator: " ")
      guard words.count > 5, words[1] == ".text" else { return }
      if let size = Int(words[2], radix: 16), let offset = Int(words[5], radix: 16) { place = (offset, size) }
    }
    guard let place, let handle = fopen(file, "r") else { return nil }
    defer { fclose(handle) }
    fseek(handle, place.offset, SEEK_SET)
    var bytes = [UInt8](repeating: 0, count: min(place.size, 4 << 20))
    let count = fread(&bytes, 1, bytes.count, handle)
    return Array(bytes[..<count])
  }
}
