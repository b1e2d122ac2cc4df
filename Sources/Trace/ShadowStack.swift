// Who has called whom: a stack of frames beside the guest's own one, made from calls, returns and jumps as they are executed. A frame
// remembers RSP at its function's first instruction, where the return address lies; whenever RSP is above that, the frame is gone, by
// whatever way: RET, longjmp(3), an exception, a signal handler's end. Each of a thread's stacks (the alternate stack of signals, those
// of coroutines) has frames of its own.
import GuestMemory

/// A function that has been entered and not been left.
struct TraceFrame {
  var function: Int
  /// RSP at its first instruction; the highest number for the outermost frame.
  var entry: UInt64
  /// The entry of the instruction that called it; -1: none.
  var site: Int
  /// The thread's traced instructions when it was entered.
  var start: Int64
  /// Its function is of what is to be traced.
  var isWanted = true
  /// What sinks keep with it.
  var edge = -1
  var node = 0
}

/// How a frame came about, or went.
enum Transition: UInt8 {
  case call, jump, signal, ret, unwind
}

/// The frames on one of the guest's stacks.
final class ShadowStack {
  /// Among all stacks of all threads.
  let number: Int
  let thread: Int
  var range: Range<UInt64>
  fileprivate(set) var frames: [TraceFrame] = []

  init(number: Int, thread: Int, range: Range<UInt64>) {
    (self.number, self.thread, self.range) = (number, thread, range)
  }

  var top: TraceFrame? { frames.last }
}

/// Told of frames that come and go; `frame` may be completed.
protocol FrameObserver: AnyObject {
  func entered(_ frame: inout TraceFrame, _ how: Transition, _ stack: ShadowStack, caller: TraceFrame?)
  func left(_ frame: TraceFrame, _ how: Transition, _ stack: ShadowStack)
}

/// The stacks of one thread.
final class ThreadStacks {
  let thread: Int
  private let memory: AddressSpace
  private let functions: FunctionTable
  private unowned let observer: any FrameObserver
  private let nextNumber: () -> Int
  /// By the end of their region, which stays when a stack grows.
  private var stacks: [UInt64: ShadowStack] = [:]
  private(set) var current: ShadowStack
  /// Instructions of this thread that are traced.
  var counted: Int64 = 0
  private static let mostFrames = 1 << 20

  init(
    _ thread: Int, _ memory: AddressSpace, _ functions: FunctionTable, _ observer: any FrameObserver,
    nextNumber: @escaping () -> Int
  ) {
    (self.thread, self.memory, self.functions) = (thread, memory, functions)
    (self.observer, self.nextNumber) = (observer, nextNumber)
    current = ShadowStack(number: -1, thread: thread, range: 0..<0)
  }

  /// The function that runs; the first instruction of a stack makes its outermost frame.
  // PERF: once an instruction.
  @inline(__always) func prepare(rsp: UInt64, rip: UInt64) {
    if rsp >= current.range.lowerBound, rsp < current.range.upperBound { return }
    change(rsp: rsp, rip: rip, .call)
  }

  private func change(rsp: UInt64, rip: UInt64, _ how: Transition) {
    let region = memory.query(rsp).map { $0.start..<max($0.end, $0.start &+ 1) } ?? rsp..<(rsp | 0xfff) &+ 1
    if let known = stacks[region.upperBound] {
      known.range = region
      current = known
      return
    }
    current = ShadowStack(number: nextNumber(), thread: thread, range: region)
    stacks[region.upperBound] = current
    push(functions.find(rip).function, entry: .max, site: -1, how)
  }

  private func push(_ function: Int, entry: UInt64, site: Int, _ how: Transition) {
    var frame = TraceFrame(function: function, entry: entry, site: site, start: counted)
    observer.entered(&frame, how, current, caller: current.frames.last)
    current.frames.append(frame)
  }

  private func pop(_ how: Transition) {
    if let frame = current.frames.popLast() { observer.left(frame, how, current) }
  }

  /// Drops the frames that RSP is above of.
  private func settle(_ rsp: UInt64, _ how: Transition) {
    var how = how
    while let last = current.frames.last, last.entry < rsp, current.frames.count > 1 {
      pop(how)
      how = .unwind
    }
  }

  /// A call has been executed: `rip` is its target, `next` the address behind the call.
  func called(rip: UInt64, next: UInt64, rsp: UInt64, site: Int) {
    settle(rsp, .unwind)
    let found = functions.find(rip)
    // CALL to the next instruction only asks where it is.
    if rip == next || !found.isStart && found.function == current.top?.function { return }
    if current.frames.count >= ThreadStacks.mostFrames { return }
    push(found.function, entry: rsp, site: site, .call)
  }

  func returned(rsp: UInt64) { settle(rsp, .ret) }

  /// A jump has been executed. One to the beginning of another function is a call in place of a return.
  func jumped(rip: UInt64, rsp: UInt64, site: Int) {
    settle(rsp, .unwind)
    guard let top = current.top else { return }
    let found = functions.find(rip)
    if found.function == top.function { return }
    let isOther = found.isNamed ? found.isStart : found.object != functions.functions[top.function].object
    guard isOther else { return }
    if rsp == top.entry {
      pop(.jump)
      push(found.function, entry: rsp, site: top.site, .jump)
    } else if current.frames.count < ThreadStacks.mostFrames {
      push(found.function, entry: rsp, site: site, .jump)
    }
  }

  /// Registers have been exchanged from outside: a signal's handler begins, or one has returned. `isSignal`: RIP is a handler's.
  func exchanged(rip: UInt64, rsp: UInt64, isSignal: Bool) {
    if !current.range.contains(rsp) {
      let known = stacks.count
      change(rsp: rsp, rip: rip, isSignal ? .signal : .call)
      if isSignal {
        if stacks.count > known { return }
        // Nothing is left on a stack that a signal begins.
        while !current.frames.isEmpty { pop(.unwind) }
        return push(functions.find(rip).function, entry: .max, site: -1, .signal)
      }
    }
    settle(rsp, .unwind)
    if isSignal { push(functions.find(rip).function, entry: rsp, site: -1, .signal) }
  }

  /// The thread, its program, or the trace ends.
  func end() {
    for stack in stacks.values.sorted(by: { $0.number < $1.number }) {
      current = stack
      while !current.frames.isEmpty { pop(.unwind) }
    }
    stacks = [:]
    current = ShadowStack(number: -1, thread: thread, range: 0..<0)
  }
}
