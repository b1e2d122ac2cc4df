// Makes traces of a recording: opens the outputs, replays once, and tells all sinks.
import Engine
import Record
import VirtualMachine

/// How a trace ended.
public struct TraceEnd: Sendable {
  /// How the recorded process ended; nil: the trace ended before.
  public var end: ReplayEnd?
  /// Instructions that were traced.
  public var instructions: Int64
}

public enum TraceRun {
  /// Writes the traces that `request` asks for.
  public static func run(_ path: [UInt8], _ request: TraceRequest) throws(TraceProblem) -> TraceEnd {
    let replay = try begin(path, request)
    let context = TraceContext(replay)
    context.from = request.from
    context.duration = max(min(request.to, replay.recordedInstructions()) &- request.from, 1)
    if request.selections.isEmpty { context.duration = min(context.duration, request.limit) }
    var sinks: [TraceSink] = []
    for output in request.outputs {
      sinks.append(sink(output, context, try TextOutput(output.path), request))
    }
    let visitor = TraceVisitor(context, sinks, request)
    var end: ReplayEnd?
    var problem: TraceProblem?
    do throws(TraceProblem) {
      end = try TraceRun.recorded { () throws(RecordingError) in
        try replay.visit(visitor, from: request.from, to: request.to, timeline: request.timeline)
      }
    } catch {
      // What came before is worth having.
      problem = error
    }
    visitor.finish()
    for sink in sinks { sink.finish() }
    if let problem { throw problem }
    for (sink, output) in zip(sinks, request.outputs) where sink.output.failure != 0 {
      let name = output.path.map { String(decoding: $0, as: UTF8.self) } ?? "standard output"
      throw TraceProblem("cannot write \(name) (errno \(sink.output.failure))")
    }
    if let name = visitor.missing.first {
      throw TraceProblem(
        "nothing that the program mapped has a symbol \(String(decoding: name, as: UTF8.self))")
    }
    return TraceEnd(end: end, instructions: context.counted)
  }

  /// The replay in front of its first event, on the engine that suits it.
  private static func begin(_ path: [UInt8], _ request: TraceRequest) throws(TraceProblem) -> Replay {
    try recorded { () throws(RecordingError) in
      let recording = try Recording(path)
      var options = request.replay
      if options.engine == .automatic {
        // Single instructions are the interpreter's trade; AVX-512 only the translator knows.
        options.engine = .interpreter
        let replay = try Replay(recording, timeline: request.timeline, options)
        if try replay.canBegin() { return replay }
        options.engine = .translator
      }
      let replay = try Replay(recording, timeline: request.timeline, options)
      try replay.begin()
      return replay
    }
  }

  private static func recorded<Value>(
    _ body: () throws(RecordingError) -> Value
  ) throws(TraceProblem) -> Value {
    do { return try body() } catch { throw TraceProblem(error.message) }
  }

  private static func sink(
    _ wanted: TraceRequest.Output, _ context: TraceContext, _ output: TextOutput, _ request: TraceRequest
  ) -> TraceSink {
    switch wanted.format {
    case .instructions: InstructionListing(context, output)
    case .accesses: AccessListing(context, output, showsValues: request.showsValues)
    case .calls: CallListing(context, output, showsArguments: request.showsArguments)
    case .callgrind: CallgrindProfile(context, output)
    case .chrome: ChromeTrace(context, output)
    case .collapsed: CollapsedStacks(context, output)
    case .coverage: Coverage(context, output)
    case .lcov: LineCoverage(context, output)
    case .map:
      MemoryMap(
        context, output, columns: request.columns, rows: request.rows,
        isPNG: wanted.path?.suffix(4).elementsEqual(".png".utf8) ?? false)
    }
  }
}
