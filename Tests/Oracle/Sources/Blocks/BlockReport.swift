// Prints a block: assembly with addresses, bytes and labels, the registers that matter at its start, what differs.

import CNative
import X86

struct BlockReport {
  let program: BlockProgram
  let outcome: BlockOutcome

  private static let names = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
  ]

  /// At most `limit` lines.
  func lines(_ limit: Int = 60) -> [String] {
    let slot = program.seed % UInt64(BlockLayout.slots)
    guard let block = program.assemble(at: BlockLayout.code + slot * BlockLayout.slotSize) else { return [] }
    var lines = state()
    lines += code(block)
    lines += outcome.lines.prefix(12).map { "  " + $0 }
    lines.append("  ends with \(outcome.ending)")
    return lines.count <= limit ? lines : Array(lines.prefix(limit)) + ["  …"]
  }

  private func state() -> [String] {
    var lines: [String] = []
    for first in stride(from: 0, to: 16, by: 4) {
      let words = (first..<first + 4).map {
        "\(BlockReport.names[$0]) \(BlockReport.hex(program.registers[$0]))"
      }
      lines.append("  " + words.joined(separator: "  "))
    }
    let extended = withUnsafeBytes(of: outcome.start.extended) { area in
      "fcw \(BlockReport.hex(UInt64(area.load(fromByteOffset: 0, as: UInt16.self))))"
        + "  fsw \(BlockReport.hex(UInt64(area.load(fromByteOffset: 2, as: UInt16.self))))"
        + "  mxcsr \(BlockReport.hex(UInt64(area.load(fromByteOffset: 24, as: UInt32.self))))"
    }
    lines.append(
      "  rflags \(BlockReport.hex(outcome.start.rflags))  \(extended)  fs \(BlockReport.hex(program.fsBase))"
        + "  gs \(BlockReport.hex(program.gsBase))")
    for (address, value) in program.constants where uses(address) {
      lines.append("  [\(BlockReport.hex(address))] = \(BlockReport.hex(value))")
    }
    for (address, label) in program.labelCells where uses(address) {
      lines.append("  [\(BlockReport.hex(address))] = L\(label)")
    }
    return lines
  }

  /// Whether an address of the control page appears in an instruction that is left.
  private func uses(_ address: UInt64) -> Bool {
    program.items.contains { item in
      if case .instructionPointer(let target, _) = item.fixup {
        return target == address & ~63 || target == address
      }
      guard item.bytes.count >= 7 else { return false }
      return (0...item.bytes.count - 4).contains { offset in
        Array(item.bytes[offset..<offset + 4]) == RowEncoder.little(address, 4)
      }
    }
  }

  private func code(_ block: AssembledBlock) -> [String] {
    var lines: [String] = []
    for (index, item) in program.items.enumerated() {
      if let label = item.label {
        if isUsed(label) { lines.append("L\(label):") }
        continue
      }
      let place = block.places[index]
      let start = Int(place - block.address)
      let bytes = Array(block.bytes[start..<start + item.bytes.count])
      lines.append(
        "  \(BlockReport.hex(place))  \(BlockReport.text(bytes, place))    ; "
          + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " "))
    }
    return lines
  }

  private func isUsed(_ label: BlockLabel) -> Bool {
    if program.labelCells.contains(where: { $0.label == label }) { return true }
    return program.items.contains { item in
      switch item.fixup {
      case .relative8(let target), .relative32(let target), .address(let target, _, _): return target == label
      default: return false
      }
    }
  }

  static func text(_ bytes: [UInt8], _ address: UInt64) -> String {
    bytes.withUnsafeBytes { raw in
      guard let instruction = Decoder.decode(raw, mode: .bits64) else { return "(bytes)" }
      return Disassembler().text(instruction, bytes: raw, address: address)
    }
  }

  static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
