// Watches a replay instruction by instruction: what traces are made of. While there is a visitor the engine executes single
// instructions, and the visitor is called around each of them and around each recorded event. It looks at registers and memory,
// and changes nothing.
import CHost
import Engine
import GuestMemory

/// A recorded event as a visitor sees it.
public enum VisitedEvent: Equatable, Sendable {
  /// A system call has been answered; RIP is behind its instruction.
  case systemCall(UInt64)
  /// A signal's handler begins, or ended by other means than a call; registers are others afterwards.
  case signal
  /// The instruction at RIP, whose result is chance, is executed by the event. It is no counted instruction.
  case chance
  case threadBegins
  case threadEnds
  case other
}

/// A thread at a moment of the replay.
public struct VisitedThread {
  /// Its number in the recording, from 0 on.
  public let index: Int
  // SAFETY: a thread's state, valid during the call that gets it.
  public let cpu: UnsafeMutablePointer<CPUState>
  /// Instructions that all threads have executed.
  public let instant: InstructionCount
}

public protocol ReplayVisitor: AnyObject {
  /// The instruction at RIP is next. False: the replay comes to rest in front of it.
  func willExecute(_ thread: VisitedThread) -> Bool
  /// What stops in front of all instructions that the visitor has to see; nil: it sees all.
  var watcher: InterpreterEngine? { get }
  /// It has been executed, or, when `isComplete` is false, has faulted.
  func didExecute(_ thread: VisitedThread, isComplete: Bool)
  func willHappen(_ event: VisitedEvent, _ thread: VisitedThread)
  /// `changesMappings`: what is mapped, or where, may be different now. `resets`: another program was executed.
  func didHappen(_ event: VisitedEvent, _ thread: VisitedThread, changesMappings: Bool, resets: Bool)
}

extension ReplayVisitor {
  public var watcher: InterpreterEngine? { nil }
}

extension Replay {
  /// Reads up to the first event, so that what is wrong with the recording, or the engine, is known.
  public func begin() throws(RecordingError) { _ = try upcoming() }

  /// The same; false when this engine cannot execute what the program was recorded with.
  public func canBegin() throws(RecordingError) -> Bool {
    do throws(RecordingError) { try begin() } catch {
      if case .unsupported = error { return false }
      throw error
    }
    return true
  }

  /// Replays until `limit` instructions have been executed, the visitor comes to rest, or the end: then how it ends. The visitor is
  /// called from the instant `from` on, and only in the recording's timeline `timeline`.
  public func visit(
    _ visitor: any ReplayVisitor, from: InstructionCount, to limit: InstructionCount, timeline: UInt64
  ) throws(RecordingError) -> ReplayEnd? {
    defer { self.visitor = nil }
    engine.prepareForSteps()
    while true {
      // Only with its first event a timeline is known to have begun.
      _ = try upcoming()
      let isThere = events.timeline == timeline && instant >= from
      self.visitor = isThere ? visitor : nil
      isVisitorAtRest = false
      let next = events.timeline == timeline && instant < from ? min(from, limit) : limit
      switch try proceed(to: next) {
      case .end(let end): return end
      case .instant: if instant >= limit || isVisitorAtRest { return nil }
      case .stop, .attention, .event, nil: continue
      }
    }
  }

  /// Instructions that the recording's timeline, with what leads to it, has in all, as far as it can be read; more by up to one a
  /// thread and event.
  public func recordedInstructions() -> InstructionCount {
    instant &+ (due?.count ?? 0) &+ RecordingOverview(events).length
  }

  /// The program's words, once the replay has begun.
  public var arguments: [[UInt8]] { start.arguments }

  /// Executes single instructions, at most `budget`, and tells the visitor.
  func step(
    _ thread: Thread, _ visitor: any ReplayVisitor, budget: InstructionCount
  ) -> Exit {
    var done: InstructionCount = 0
    while done < budget {
      if let watcher = visitor.watcher {
        let before = watcher.instructionCount
        let exit = watcher.run(thread.cpu, budget: budget &- done)
        done &+= watcher.instructionCount &- before
        guard case .stop = exit, done < budget else { return exit == .stop ? .budget : exit }
      }
      let before = engine.instructionCount
      if !visitor.willExecute(VisitedThread(index: thread.index, cpu: thread.cpu, instant: instant &+ done)) {
        isVisitorAtRest = true
        return .budget
      }
      let exit = engine.step(thread.cpu)
      let executed = engine.instructionCount &- before
      done &+= executed
      visitor.didExecute(
        VisitedThread(index: thread.index, cpu: thread.cpu, instant: instant &+ done),
        isComplete: executed > 0)
      if exit != .budget { return exit }
    }
    return .budget
  }

  /// How a visitor sees an event.
  func visited(_ event: Event) -> VisitedEvent {
    switch event.kind {
    case .systemCall(let number, _): .systemCall(number)
    case .interruption, .fault: .signal
    case .chance: .chance
    case .threadBegins: .threadBegins
    case .threadEnds, .end: .threadEnds
    case .pause, .othersWrites: .other
    }
  }
}

extension StateEffect {
  /// What is mapped changes.
  var changesMappings: Bool {
    memory.contains {
      if case .change(let change) = $0 {
        if case .advise = change { return false }
        return true
      }
      return false
    }
  }

  var resets: Bool {
    memory.contains {
      if case .change(.reset) = $0 { return true }
      return false
    }
  }
}
