// Children that the program makes. When forks are to be seen, a child waits at a pipe until somebody has decided: it runs on freely, or
// the debugger goes over to it, with its connection, and leaves the parent. The child is a copy of Vitrine, the control
// and the server included, so going over means that the copy wakes up.

import CHost
import Engine
import Linux

/// A child that waits: the two ends of its pipe.
struct HeldChild {
  var reading: Int32
  var writing: Int32

  private static let pipe: Int64 = 293
  private static let closeOnExec: Int64 = 0x80000
  private static let takeOver: UInt8 = 1

  init?(_ process: LinuxProcess) {
    var ends: [Int32] = [-1, -1]
    let result = ends.withUnsafeMutableBytes {
      Connection.call(
        HeldChild.pipe, Connection.pointer(UnsafeRawBufferPointer($0)), HeldChild.closeOnExec)
    }
    guard result == 0 else { return nil }
    reading = process.hide(ends[0], movesStandard: true)
    writing = process.hide(ends[1], movesStandard: true)
  }

  /// In the child: true when it is to be taken over. The end of the pipe sets it free.
  func waitForDecision(_ process: LinuxProcess) -> Bool {
    process.closeHidden(writing)
    defer { process.closeHidden(reading) }
    return Connection.receive(Int64(reading)).first == HeldChild.takeOver
  }

  func decide(isTakenOver: Bool, _ process: LinuxProcess) {
    if isTakenOver { _ = Connection.send([HeldChild.takeOver], to: Int64(writing)) }
    process.closeHidden(writing)
  }
}

extension MachineControl {
  func forkBegins() {
    nextChild = nil
    guard isActive, stopsAtForks, let process else { return }
    nextChild = HeldChild(process)
  }

  func forkEnds(_ result: Int64, isVfork: Bool) {
    guard let child = nextChild, let process else { return }
    nextChild = nil
    process.closeHidden(child.reading)
    guard result > 0, let cpu = process.currentThread.cpu else { return process.closeHidden(child.writing) }
    let number = UInt64(bitPattern: result)
    heldChildren[number] = child
    hasBorrowingChild = isVfork
    pause(thread(of: cpu, process), .fork(child: number, isVfork: isVfork), process)
    // Whoever has seen it has decided, or does not care.
    decide(about: number, isTakenOver: false)
  }

  /// Lets a child go on: freely, or under whoever steers this process so far.
  public func decide(about child: UInt64, isTakenOver: Bool) {
    guard let process else { return }
    heldChildren.removeValue(forKey: child)?.decide(isTakenOver: isTakenOver, process)
  }

  public func holds(child: UInt64) -> Bool { heldChildren[child] != nil }
}
