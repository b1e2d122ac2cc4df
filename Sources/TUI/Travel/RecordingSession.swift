// A debugging session over a recording. One thread does everything: it waits for keys, lets commands and the screen work, and makes the
// journeys that they ask for. A journey asks every few milliseconds whether to go on; then keys are taken and the screen is drawn, so
// that a person sees where it is, and can stop it.

import Record

public final class RecordingSession {
  private let options: DebugOptions
  private let machine: RecordedMachine
  private let workspace: Workspace
  private let console: Console
  private var face: ScreenFace?
  private var isTravelling = false
  private var lastLook: Int64 = 0
  /// When a journey is to end at the latest.
  private var deadline: Int64?
  /// Milliseconds between two looks at the keys on a journey.
  private static let interval: Int64 = 8

  /// `overview` is of the same recording.
  public init(_ travel: TimeTravel, _ overview: RecordingOverview, _ options: DebugOptions) {
    self.options = options
    machine = RecordedMachine(travel, overview)
    workspace = Workspace(subject: machine, terminal: machine.terminal)
    workspace.syntax = options.usesATT ? .att : .intel
    var settle: () -> Void = {}
    var pass: (Int64, () -> Bool) -> Void = { _, _ in }
    console = Console(
      subject: machine, workspace: workspace, settle: { settle() }, wait: { pass($0, $1) })
    settle = { [unowned self] in self.settle() }
    pass = { [unowned self] in self.pass($0, until: $1) }
    workspace.perform = { [unowned self] in perform($0) }
    workspace.complete = { [unowned self] in console.completions($0) }
    travel.isInterrupted = { [unowned self] in look() }
    workspace.programMoved()
  }

  // MARK: Commands

  /// Executes the commands of the options up to the first one that fails; 0, or then 1.
  public func runCommands() -> Int32 { Batch(console, options).run() }

  /// Executes one command and tells its answer; false when it has failed.
  public func execute(_ command: String) -> Bool { Batch(console, options).execute(command) }

  /// Somebody has asked for the end.
  public var isOver: Bool { console.quits }

  private func settle() {
    if options.isBatch { travelOn() }
  }

  private func pass(_ time: Int64, until isDone: () -> Bool) {
    deadline = System.now + time
    defer { deadline = nil }
    travelOn()
    while !isDone(), let deadline, System.now < deadline, !console.quits, options.screen >= 0 { turn(20) }
  }

  private func travelOn() {
    guard machine.isRunning, !isTravelling else { return }
    isTravelling = true
    machine.travelOn()
    isTravelling = false
    workspace.programMoved()
  }

  /// On a journey: takes keys and draws when it is time. True: it is to end.
  private func look() -> Bool {
    let now = System.now
    if now - lastLook >= RecordingSession.interval {
      lastLook = now
      if let deadline, now >= deadline { machine.isInterrupted = true }
      if let face {
        let ready = System.wait([options.screen, options.notices], milliseconds: 0)
        if ready[0] || ready[1] { face.take(keys: ready[0], notices: ready[1]) }
        face.draw(machine.terminal)
      }
    }
    return machine.isInterrupted || console.quits
  }

  // MARK: The screen

  /// Shows the screen until somebody leaves; the exit code.
  public func showScreen() -> Int32 {
    let face = ScreenFace(workspace, options)
    self.face = face
    machine.watching.hasKeys = { [options] in
      System.wait([options.screen, options.notices], milliseconds: 0).contains(true)
    }
    face.begin()
    while !console.quits {
      // A quick look at what the last instructions did comes in front of the frame, a longer one behind it.
      if machine.activityIsQuick { updateActivity(face, within: RecordingSession.interval * 3) }
      face.draw(machine.terminal)
      if updateActivity(face) { face.draw(machine.terminal) }
      turn(face.patience)
    }
    face.end()
    return 0
  }

  /// Looks at what the last instructions did, if that is shown and is not known, until a key comes. Whether there is something new.
  @discardableResult private func updateActivity(_ face: ScreenFace, within time: Int64 = .max / 2) -> Bool {
    guard workspace.wantsActivity, !machine.isRunning, machine.isActivityStale else { return false }
    let latest = System.now + time
    let isNew = machine.updateActivity { System.now > latest }
    if isNew { face.refresh() }
    return isNew
  }

  /// Makes the journey that was begun, else waits for keys.
  private func turn(_ milliseconds: Int64) {
    let hasTravelled = machine.isRunning && !isTravelling
    travelOn()
    let ready = System.wait(
      [options.screen, options.notices], milliseconds: hasTravelled ? 0 : milliseconds)
    face?.take(keys: ready[0], notices: ready[1])
  }

  private func perform(_ text: String) {
    workspace.show(console.execute(text))
  }
}
