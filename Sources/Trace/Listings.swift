// The forms of trace that are lists in the order of time: instructions, accesses to memory, calls. Columns are separated by tabs, and
// the first lines say what they are.
import Engine
import X86

extension TraceSink {
  /// What a line about an instruction begins with: instant, thread, address.
  fileprivate func writePlace(_ entry: Int, _ moment: TraceMoment) {
    output.number(moment.instant)
    output.tab()
    output.number(moment.thread)
    output.tab()
    output.hexadecimal(context.code.entries[entry].address)
    output.tab()
  }
}

/// A line for each instruction.
final class InstructionListing: TraceSink {
  private let disassembler = Disassembler()
  /// Symbol and text of each entry, with the tabs.
  private var texts: [[UInt8]?] = []

  override init(_ context: TraceContext, _ output: TextOutput) {
    super.init(context, output)
    output.text("# vitrine trace: instructions 1\n# instant\tthread\taddress\tsymbol\tinstruction\n")
  }

  override var needsCalls: Bool { true }

  override func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {
    writePlace(entry, moment)
    output.text(text(entry))
    output.endLine()
  }

  override func called(_ text: String, name: String, _ moment: TraceMoment, _ stack: ShadowStack?) {
    output.text("# \(moment.instant)\t\(moment.thread)\t\(text)\n")
  }

  private func text(_ entry: Int) -> [UInt8] {
    if entry < texts.count, let known = texts[entry] { return known }
    while texts.count <= entry { texts.append(nil) }
    let place = context.code.entries[entry]
    let functions = context.functions
    let bytes = Array(context.code.bytes[entry * 16..<entry * 16 + Int(place.instruction.length)])
    let instruction = bytes.withUnsafeBytes {
      disassembler.text(place.instruction, bytes: $0, address: place.address) { target, buffer in
        let name = functions.describe(target)
        if !name.isEmpty { buffer.append(string: " <\(name)>") }
      }
    }
    let name = functions.describe(place.address)
    let line = Array(((name.isEmpty ? "-" : name) + "\t" + instruction).utf8)
    texts[entry] = line
    return line
  }

  override func finish() { output.finish() }
}

/// A line for each access.
final class AccessListing: TraceSink {
  private let showsValues: Bool
  private static let mostShown: UInt64 = 64

  init(_ context: TraceContext, _ output: TextOutput, showsValues: Bool) {
    self.showsValues = showsValues
    super.init(context, output)
    output.text("# vitrine trace: accesses 1\n# instant\tthread\tinstruction\tkind\taddress\tsize")
    output.text(showsValues ? "\tbytes\n" : "\n")
  }

  override var needsAccesses: Bool { true }

  override func accessed(_ access: MemoryAccess, by entry: Int, _ moment: TraceMoment) {
    writePlace(entry, moment)
    output.byte(UInt8(ascii: access.isWrite ? "W" : "R"))
    output.tab()
    output.hexadecimal(access.address)
    output.tab()
    output.number(access.size)
    // What was read may have been written over since; a write is what is there now.
    if showsValues, access.isWrite {
      output.tab()
      let size = Int(min(access.size, AccessListing.mostShown))
      for byte in context.replay.memory.peek(access.address, count: size) { output.hexadecimal(byte: byte) }
    }
    output.endLine()
  }

  override func finish() { output.finish() }
}

/// A line for each call and return, indented, with the system calls between them.
final class CallListing: TraceSink {
  private let showsArguments: Bool
  private static let mostIndentation = 64

  init(_ context: TraceContext, _ output: TextOutput, showsArguments: Bool) {
    self.showsArguments = showsArguments
    super.init(context, output)
    output.text("# vitrine trace: calls 1\n# instant\tthread\tstack\tdepth\tkind\tname\n")
  }

  override var needsFrames: Bool { true }
  override var needsCalls: Bool { true }

  private func begin(_ kind: String, _ stack: ShadowStack?, _ depth: Int, _ moment: TraceMoment) {
    output.text("\(moment.instant)\t\(moment.thread)\t\(stack?.number ?? 0)\t\(depth)\t\(kind)\t")
    for _ in 0..<min(depth, CallListing.mostIndentation) { output.text("  ") }
  }

  override func entered(
    _ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?,
    _ moment: TraceMoment
  ) {
    if !frame.isWanted { return }
    let kind = how == .jump ? "jump" : how == .signal ? "signal" : "call"
    begin(kind, stack, stack.frames.count, moment)
    output.text(context.functions.functions[frame.function].name)
    if showsArguments {
      let registers = context.replay.registers
      let values = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"].map { name in
        registers.first { $0.name == name }?.value ?? 0
      }
      output.text("(" + values.map { "0x" + String($0, radix: 16) }.joined(separator: ", ") + ")")
    }
    output.endLine()
  }

  override func left(
    _ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack, counted: Int64, _ moment: TraceMoment
  ) {
    // What a jump leaves goes on as the function that is jumped to.
    if how == .jump || !frame.isWanted { return }
    begin(how == .ret ? "return" : "unwind", stack, stack.frames.count, moment)
    output.text(context.functions.functions[frame.function].name)
    if showsArguments, how == .ret, let value = context.replay.registers.first?.value {
      output.text(" = 0x" + String(value, radix: 16))
    }
    output.endLine()
  }

  override func called(_ text: String, name: String, _ moment: TraceMoment, _ stack: ShadowStack?) {
    begin("system", stack, stack?.frames.count ?? 0, moment)
    output.text(text)
    output.endLine()
  }

  override func finish() { output.finish() }
}
