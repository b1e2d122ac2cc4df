// Looks closely at a stretch of the past without leaving the present: the replay goes back, executes the stretch instruction by
// instruction for a visitor, and is then where it was before.
import Engine

extension TimeTravel {
  /// Instructions between two questions whether to go on.
  private static let turn: InstructionCount = 8192

  /// Shows the instructions from the instant `from` up to `to` to `visitor`. False: `isInterrupted`, which is asked about every
  /// millisecond, has ended it.
  public func show(
    _ visitor: any ReplayVisitor, from: InstructionCount, to: InstructionCount,
    isInterrupted: @escaping () -> Bool
  ) throws(RecordingError) -> Bool {
    let others = self.isInterrupted
    self.isInterrupted = isInterrupted
    defer { self.isInterrupted = others }
    do throws(RecordingError) {
      try excursion { () throws(RecordingError) in try visit(visitor, from: from, to: to) }
    } catch {
      if error == .interrupted { return false }
      throw error
    }
    return true
  }

  private func visit(
    _ visitor: any ReplayVisitor, from: InstructionCount, to: InstructionCount
  ) throws(RecordingError) {
    _ = try seek(from)
    replay.engine.prepareForSteps()
    replay.isVisitorAtRest = false
    replay.visitor = visitor
    defer {
      replay.visitor = nil
      replay.isVisitorAtRest = false
    }
    while instant < to {
      if isInterrupted?() ?? false { throw .interrupted }
      let pause = try proceed(to: min(to, instant &+ TimeTravel.turn))
      if replay.isVisitorAtRest { throw .interrupted }
      if case .end = pause { return }
    }
  }
}
