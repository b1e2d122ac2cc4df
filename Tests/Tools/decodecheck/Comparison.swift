// Compares our lengths and texts with objdump's, line by line as objdump prints them. Normalisation, documented in
// Docs/decoder.md: symbols (`<main+0x10>`) and blanks at the end are dropped, `0x` is dropped on both sides.

import Glibc
import X86

struct Comparison {
  struct Difference {
    var count = 0
    var sample = ""
  }
  let isIntel: Bool
  var mode = OperatingMode.bits64
  var instructions = 0
  var bad = 0
  /// What objdump writes down and the processor rejects (#UD), or what has no row.
  var undefined = 0
  var wrongLengths = 0
  var wrongTexts = 0
  var differences: [String: Difference] = [:]

  /// The goal of the issue: all lengths, 99.9 % of texts. Data among code looks like instructions now and then.
  var hasFailed: Bool {
    // Intel's syntax: displacements from RIP are written with a sign here, as 64-bit numbers there (Docs/decoder.md).
    let texts = isIntel ? wrongTexts / 10 : wrongTexts
    return wrongLengths > 0 || (texts + undefined) * 1000 > instructions || undefined > bad
      || instructions == 0
  }

  mutating func add(_ other: Comparison) {
    instructions += other.instructions
    bad += other.bad
    undefined += other.undefined
    wrongLengths += other.wrongLengths
    wrongTexts += other.wrongTexts
    differences.merge(other.differences) { Difference(count: $0.count + $1.count, sample: $0.sample) }
  }

  func report(_ name: String) {
    let permille = instructions == 0 ? 0 : Double(wrongTexts) * 100 / Double(instructions)
    print(
      "\(name): \(instructions) instructions, \(bad) bad to objdump, "
        + "\(undefined) undefined to us, \(wrongLengths) lengths differ, \(wrongTexts) texts differ (\(permille) %)"
    )
  }

  func reportDifferences() {
    for (name, difference) in differences.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) })
      .prefix(200)
    {
      print("  \(difference.count) \(name): \(difference.sample)")
    }
  }

  /// Compares the whole of .text, or `parts` windows of it.
  mutating func run(_ file: String, parts: Int) {
    guard let (start, size) = Comparison.textSection(file) else { return print("\(file): no .text") }
    let window: UInt64 = 128 * 1024
    if parts == 0 || size < UInt64(parts) * window { return compare(file, start, start + size) }
    for part in 0..<UInt64(parts) {
      let begin = start + (size - window) / UInt64(max(parts - 1, 1)) * part
      compare(file, begin, begin + window)
    }
  }

  /// Address and size of .text, from `objdump -h`.
  static func textSection(_ file: String) -> (UInt64, UInt64)? {
    var found: (UInt64, UInt64)?
    Lines.each("objdump -h '\(file)'") { line in
      let words = String(decoding: line, as: UTF8.self).split(separator: " ")
      if words.count > 4, words[1] == ".text", let size = UInt64(words[2], radix: 16) {
        found = UInt64(words[3], radix: 16).map { ($0, size) }
      }
    }
    return found
  }

  private mutating func compare(_ file: String, _ start: UInt64, _ stop: UInt64) {
    let syntax = isIntel ? "-M intel64,intel " : "-M intel64 "
    var comparison = self
    Lines.each("objdump -dw \(syntax)-j .text --start-address=\(start) --stop-address=\(stop) '\(file)'") {
      line in
      comparison.compare(line)
    }
    self = comparison
  }

  /// One line: `  401000:	55 	push   %rbp`
  private mutating func compare(_ line: UnsafeBufferPointer<UInt8>) {
    let fields = line.split(separator: 9, maxSplits: 2, omittingEmptySubsequences: false)
    guard fields.count == 3, let colon = fields[0].last, colon == 58 else { return }
    guard let address = UInt64(ascii: fields[0].dropLast().drop { $0 == 32 }) else { return }
    var bytes = [UInt8]()
    for word in fields[1].split(separator: 32) {
      if let byte = UInt64(ascii: word[...]) { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    }
    let theirs = Comparison.normalised(fields[2])
    instructions += 1
    // Data between functions: bytes that begin no instruction, prefixes that precede none.
    if theirs.containsBad || Comparison.isLonePrefix(theirs) {
      bad += 1
      return bytes.withUnsafeBytes { noteAccepted($0, theirs) }
    }
    bytes.withUnsafeBytes { check($0, address, theirs) }
  }

  private mutating func check(_ bytes: UnsafeRawBufferPointer, _ address: UInt64, _ theirs: [UInt8]) {
    var instruction = Instruction()
    let status = Decoder.decode(bytes, mode: mode, into: &instruction)
    if status == .invalid {
      undefined += 1
      return note("#UD " + String(decoding: theirs.prefix { $0 != 32 }, as: UTF8.self), bytes, "#UD", theirs)
    }
    // FWAIT is an instruction; objdump takes it for a prefix of the next one.
    if status == .valid, instruction.opcode == 0x9b, Int(instruction.length) < bytes.count {
      bad += 1
      return
    }
    guard status == .valid, Int(instruction.length) == bytes.count else {
      wrongLengths += 1
      return note("length", bytes, "\(status) \(instruction.length)", theirs)
    }
    let disassembler = Disassembler(syntax: isIntel ? .intel : .att)
    let text = [UInt8](unsafeUninitializedCapacity: 255) { buffer, count in
      var text = TextBuffer(buffer)
      disassembler.write(instruction, bytes: bytes, address: address, to: &text)
      count = text.count
    }
    let ours = Comparison.normalised(text[...])
    if ours != theirs {
      wrongTexts += 1
      note(instruction.info.mnemonic.description, bytes, String(decoding: ours, as: UTF8.self), theirs)
    }
  }

  /// Prefixes that objdump prints by themselves, because what follows does not take them.
  static func isLonePrefix(_ text: [UInt8]) -> Bool {
    let prefixes = [
      "data16", "data32", "addr16", "addr32", "cs", "ds", "es", "ss", "fs", "gs", "lock", "repz", "repnz",
    ]
    return text.split(separator: 32).allSatisfy { word in
      word.starts(with: "rex".utf8) || prefixes.contains { $0.utf8.elementsEqual(word) }
    }
  }

  /// objdump knows no instruction here, we do; no failure, but listed.
  private mutating func noteAccepted(_ bytes: UnsafeRawBufferPointer, _ theirs: [UInt8]) {
    var instruction = Instruction()
    guard Decoder.decode(bytes, mode: mode, into: &instruction) == .valid else { return }
    guard Int(instruction.length) == bytes.count else { return }
    note("accepted " + instruction.info.mnemonic.description, bytes, "", theirs)
  }

  /// Random bytes through `objdump -D`, in `mode`.
  mutating func runNoise(count: Int, seed: UInt64) {
    let path = "/tmp/decodecheck-\(getpid()).bin"
    defer { unlink(path) }
    guard let file = fopen(path, "w") else { return print("cannot write \(path)") }
    var noise = Noise(seed: seed)
    var bytes = [UInt8](repeating: 0x90, count: count * 16)
    bytes.withUnsafeMutableBytes { buffer in
      for start in stride(from: 0, to: buffer.count, by: 16) {
        noise.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + 15]))
      }
    }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
    let machines = ["i8086", "i386", "i386:x86-64"]
    var comparison = self
    Lines.each("objdump -Dw -M intel64 -b binary -m \(machines[Int(mode.rawValue)]) \(path)") {
      comparison.compare($0)
    }
    self = comparison
  }

  private mutating func note(
    _ name: String, _ bytes: UnsafeRawBufferPointer, _ ours: String, _ theirs: [UInt8]
  ) {
    let key =
      name == "length" ? "length of " + String(decoding: theirs.prefix { $0 != 32 }, as: UTF8.self) : name
    var difference = differences[key] ?? Difference()
    difference.count += 1
    if difference.count == 1 {
      let hex = bytes.map { String($0, radix: 16) }.joined(separator: " ")
      difference.sample = "[\(hex)] ours: \(ours) objdump: \(String(decoding: theirs, as: UTF8.self))"
    }
    differences[key] = difference
  }

  /// Without ` <symbol>`, without `0x`, without blanks at the end.
  static func normalised<Bytes: RandomAccessCollection<UInt8>>(_ text: Bytes) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var index = text.startIndex
    while index != text.endIndex {
      let byte = text[index]
      let following = text.index(after: index)
      if byte == 60 { break }
      if byte == 48, following != text.endIndex, text[following] == 120 {
        index = text.index(after: following)
        continue
      }
      result.append(byte)
      index = following
    }
    while let last = result.last, last == 32 || last == 10 { result.removeLast() }
    return result
  }
}

extension [UInt8] {
  /// objdump's words for what it cannot decode, in whole or in part: `(bad)`, `%?`, `.byte`.
  var containsBad: Bool {
    if starts(with: ".byte".utf8) || contains(63) { return true }
    guard let place = firstIndex(of: 40) else { return false }
    return self[place...].starts(with: "(bad)".utf8)
      || split(separator: 44).contains { $0.starts(with: "(bad)".utf8) }
  }
}

extension UInt64 {
  /// Hexadecimal digits and nothing else.
  init?<Bytes: Collection<UInt8>>(ascii digits: Bytes) {
    var value: UInt64 = 0
    if digits.isEmpty { return nil }
    for digit in digits {
      switch digit {
      case 48...57: value = value << 4 | UInt64(digit - 48)
      case 97...102: value = value << 4 | UInt64(digit - 87)
      default: return nil
      }
    }
    self = value
  }
}

/// Lines of another program's standard output.
enum Lines {
  static func each(_ command: String, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    guard let pipe = popen(command, "r") else { return }
    defer { pclose(pipe) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    while case let count = getline(&line, &capacity, pipe), count > 0 {
      line?.withMemoryRebound(to: UInt8.self, capacity: count) {
        body(UnsafeBufferPointer(start: $0, count: count))
      }
    }
    free(line)
  }
}
