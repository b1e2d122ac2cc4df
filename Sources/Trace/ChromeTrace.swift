// Calls over time in the JSON that Perfetto and chrome://tracing open. An instruction takes a nanosecond; each stack of a thread is a
// track, because begins and ends have to nest there.
import Engine

final class ChromeTrace: TraceSink {
  private var isFirst = true
  private var named: Set<Int> = []
  private var threads: Set<Int> = []

  override init(_ context: TraceContext, _ output: TextOutput) {
    super.init(context, output)
    output.text("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")
    let words = context.replay.arguments.map { String(decoding: $0, as: UTF8.self) }
    begin("M", 0)
    output.text(",\"name\":\"process_name\",\"args\":{\"name\":")
    output.json(words.joined(separator: " "))
    output.text("}}")
  }

  override var needsFrames: Bool { true }
  override var needsCalls: Bool { true }

  private func begin(_ phase: String, _ track: Int) {
    output.text(isFirst ? "\n" : ",\n")
    isFirst = false
    output.text("{\"ph\":\"\(phase)\",\"pid\":\(context.replay.processNumber),\"tid\":\(track)")
  }

  /// Microseconds.
  private func time(_ instant: InstructionCount) {
    output.text(",\"ts\":")
    let nanoseconds = UInt64(max(instant, 0))
    output.number(nanoseconds / 1000)
    output.byte(46)
    output.number(nanoseconds % 1000, digits: 3)
  }

  /// The track of a stack; 0 belongs to the process.
  private func track(_ stack: ShadowStack) -> Int {
    let track = stack.number + 1
    if named.insert(track).inserted {
      let isOnly = threads.insert(stack.thread).inserted
      begin("M", track)
      output.text(",\"name\":\"thread_name\",\"args\":{\"name\":\"thread \(stack.thread)")
      output.text(isOnly ? "\"}}" : ", stack \(stack.number)\"}}")
    }
    return track
  }

  override func entered(
    _ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?,
    _ moment: TraceMoment
  ) {
    if !frame.isWanted { return }
    let function = context.functions.functions[frame.function]
    begin("B", track(stack))
    time(moment.instant)
    output.text(",\"name\":")
    output.json(function.name)
    output.text(",\"cat\":")
    output.json(how == .signal ? "signal" : context.functions.files[function.object].path)
    output.byte(UInt8(ascii: "}"))
  }

  override func left(
    _ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack, counted: Int64, _ moment: TraceMoment
  ) {
    if !frame.isWanted { return }
    begin("E", track(stack))
    time(moment.instant)
    output.byte(UInt8(ascii: "}"))
  }

  override func called(_ text: String, name: String, _ moment: TraceMoment, _ stack: ShadowStack?) {
    guard let stack else { return }
    begin("X", track(stack))
    // The SYSCALL instruction itself.
    time(moment.instant &- 1)
    output.text(",\"dur\":0.001,\"cat\":\"system call\",\"name\":")
    output.json(name)
    output.text(",\"args\":{\"call\":")
    output.json(text)
    output.text("}}")
  }

  override func finish() {
    output.text("\n]}\n")
    output.finish()
  }
}
