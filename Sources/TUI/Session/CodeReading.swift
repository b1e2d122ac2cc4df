// Code as lines: disassembled instructions with their bytes, targets and names, forwards from an address, and backwards, where x86 code
// has no marks: from the beginning of the symbol, or by trying which start gets into step.

import VirtualMachine
import X86

/// One instruction.
struct CodeLine {
  var address: UInt64
  var bytes: [UInt8]
  /// Mnemonic and operands; `(bad)` where there is no instruction.
  var text: String
  /// Where a direct jump or call goes.
  var target: UInt64?
  /// A call, or an instruction that repeats itself: what `next` does at once.
  var isCall = false
  var isJump = false
  var isReturn = false
}

struct CodeReading {
  let subject: any Subject
  let disassembler: Disassembler
  /// How many bytes back code is tried.
  private static let longest = 64

  init(_ subject: any Subject, syntax: Disassembler.Syntax = .intel) {
    self.subject = subject
    disassembler = Disassembler(syntax: syntax)
  }

  /// The instruction at `address`; nil where nothing is mapped.
  func instruction(at address: UInt64) -> CodeLine? { lines(from: address, count: 1).first }

  /// `count` instructions from `address` on; fewer where memory ends.
  func lines(from address: UInt64, count: Int) -> [CodeLine] {
    let bytes = subject.bytes(at: address, count: count * 15)
    var result: [CodeLine] = []
    var offset = 0
    bytes.withUnsafeBytes { buffer in
      while result.count < count, offset < buffer.count {
        let rest = UnsafeRawBufferPointer(rebasing: buffer[offset..<min(offset + 15, buffer.count)])
        let line = line(rest, at: address &+ UInt64(offset))
        result.append(line)
        offset += line.bytes.count
      }
    }
    return result
  }

  private func line(_ bytes: UnsafeRawBufferPointer, at address: UInt64) -> CodeLine {
    guard let instruction = Decoder.decode(bytes, mode: .bits64), instruction.length > 0 else {
      return CodeLine(address: address, bytes: Array(bytes.prefix(1)), text: "(bad)")
    }
    let text = disassembler.text(instruction, bytes: bytes, address: address) { target, buffer in
      if let name = subject.describe(target) { buffer.append(string: " <\(name)>") }
    }
    var line = CodeLine(address: address, bytes: Array(bytes.prefix(Int(instruction.length))), text: text)
    let word = text.split(separator: " ").first { !["bnd", "notrack", "lock", "addr32"].contains($0) } ?? ""
    let info = instruction.info
    for index in 0..<info.operandCount {
      if case .relative(let distance) = instruction.value(of: info.operand(index)) {
        line.target = address &+ UInt64(instruction.length) &+ UInt64(bitPattern: distance)
      }
    }
    line.isCall = word.hasPrefix("call") || text.hasPrefix("rep")
    line.isReturn = word.hasPrefix("ret") || word.hasPrefix("iret")
    line.isJump = word.hasPrefix("j") || word.hasPrefix("loop")
    return line
  }

  /// The `count` instructions in front of `address`.
  func lines(before address: UInt64, count: Int) -> [CodeLine] {
    var result: [CodeLine] = []
    var end = address
    while result.count < count {
      let more = stretch(before: end)
      guard let first = more.first else { break }
      result = more + result
      end = first.address
    }
    return Array(result.suffix(count))
  }

  /// Some instructions that end at `address`.
  private func stretch(before address: UInt64) -> [CodeLine] {
    if let symbol = subject.objects?.symbol(at: address &- 1), address &- symbol.address <= 1 << 14 {
      let run = run(from: symbol.address, to: address)
      if run.last.map({ $0.address &+ UInt64($0.bytes.count) }) == address { return run }
    }
    // In front of a file's first function there is no code.
    if subject.objects?.symbol(at: address)?.address == address,
      subject.objects?.symbol(at: address &- 1) == nil,
      subject.objects?.symbol(at: address &- 64) == nil
    {
      return []
    }
    for distance in stride(from: UInt64(CodeReading.longest), to: 0, by: -1) where address > distance {
      let run = run(from: address &- distance, to: address)
      // The first ones may be out of step.
      if run.last.map({ $0.address &+ UInt64($0.bytes.count) }) == address,
        !run.contains(where: { $0.text == "(bad)" })
      {
        return run.count > 3 ? Array(run.dropFirst(2)) : run
      }
    }
    return []
  }

  private func run(from start: UInt64, to end: UInt64) -> [CodeLine] {
    let bytes = subject.bytes(at: start, count: Int(end &- start))
    var result: [CodeLine] = []
    var offset = 0
    bytes.withUnsafeBytes { buffer in
      while offset < buffer.count {
        let rest = UnsafeRawBufferPointer(rebasing: buffer[offset..<min(offset + 15, buffer.count)])
        let line = line(rest, at: start &+ UInt64(offset))
        result.append(line)
        offset += line.bytes.count
      }
    }
    return result
  }
}
