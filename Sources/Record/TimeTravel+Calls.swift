// Where a journey ends between a system call and its answer, the registers are those of neither side. Here it goes on to the answer.
import Engine

extension TimeTravel {
  /// The last thing that happened is the program's end.
  public var end: ReplayEnd? { ending }

  /// When the thread that runs stands behind its SYSCALL, or has ended: lets events happen until it has the answer, or another thread is
  /// to go on. No instruction is executed.
  public func completeCall() throws(RecordingError) {
    while ending == nil, replay.threads[replay.running]?.isAtCall ?? true {
      let due = try replay.upcoming()
      let hasDeparted = replay.departure != nil
      if due == nil, !hasDeparted { return }
      if let due, let next = replay.threads[due.thread],
        !next.isAtCall || next.count != due.count && !hasDeparted
      {
        // This one has instructions to execute first.
        if !next.isAtCall { replay.running = due.thread }
        return
      }
      if case .end(let end) = try proceed(to: instant &+ 1) { ending = end }
    }
  }

  /// Where the next event is the answer to a call that another thread than the last one waits in: looks at that one. False: it is not.
  public func turnToWaiting() -> Bool {
    guard let due = try? replay.upcoming(), due.thread != replay.running, case .systemCall = due.kind,
      replay.threads[due.thread]?.isAtCall ?? false
    else { return false }
    replay.running = due.thread
    return true
  }

  /// The thread that runs stands at a system call that has begun.
  public var isAtCall: Bool { replay.threads[replay.running]?.isAtCall ?? false }
}
