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

  /// The thread that runs stands at a system call that has begun.
  public var isAtCall: Bool { replay.threads[replay.running]?.isAtCall ?? false }
}
