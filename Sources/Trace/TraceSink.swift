// What every form of trace is told, in the order in which things happened. A sink says what it needs, so that what nobody asks for
// is not worked out.
import Engine
import GuestMemory
import Record

/// What all sinks look at.
final class TraceContext {
  let replay: Replay
  let code: CodeTable
  let functions: FunctionTable
  /// The first instant, and how long the trace lasts at most.
  var from: InstructionCount = 0
  var duration: InstructionCount = 0
  /// Instructions that were traced.
  var counted: Int64 = 0

  init(_ replay: Replay) {
    self.replay = replay
    code = CodeTable(memory: replay.memory)
    functions = FunctionTable(replay.objects)
  }
}

/// A moment of a thread.
struct TraceMoment {
  var instant: InstructionCount
  var thread: Int
}

/// A form of trace being written. Does nothing by itself.
class TraceSink {
  let context: TraceContext
  let output: TextOutput

  init(_ context: TraceContext, _ output: TextOutput) { (self.context, self.output) = (context, output) }

  var needsAccesses: Bool { false }
  var needsFrames: Bool { false }
  var needsCalls: Bool { false }

  /// The instruction `entry` is about to be executed at `moment` on `stack`.
  func begins(_ entry: Int, _ moment: TraceMoment) {}
  /// It has been executed, in the function that is on top of `stack`.
  func executed(_ entry: Int, _ moment: TraceMoment, _ stack: ShadowStack?) {}
  func accessed(_ access: MemoryAccess, by entry: Int, _ moment: TraceMoment) {}
  func entered(
    _ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?,
    _ moment: TraceMoment
  ) {}
  func left(
    _ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack, counted: Int64, _ moment: TraceMoment
  ) {}
  /// A system call has been answered; `text` is its line.
  func called(_ text: String, name: String, _ moment: TraceMoment, _ stack: ShadowStack?) {}
  func finish() {}
}
