// The profile: functions by the instructions that were executed in them. In a recording all instructions of the last stretch count; of a program
// that lives those that were stepped, and the one at each frame while it runs.

import Trace

final class ProfilePanel: ListPanel {
  init() { super.init(.profile) }

  override func title(_ workspace: Workspace) -> String {
    guard let record = workspace.subject.activity else { return "profile" }
    return "profile of \(Console.extent(record, isRecording: workspace.subject.stretch != nil))"
  }

  override func lines(_ workspace: Workspace, width: Int) -> [Line] {
    guard let record = workspace.subject.activity else { return [] }
    let total = record.steps + record.samples
    let here = workspace.subject.objects?.symbol(at: workspace.subject.registers.rip)?.address
    return record.profile.map { function in
      Line(
        text: function.name, style: function.address == here ? Theme.current : Theme.symbol,
        address: function.address,
        prefix: [
          (Format.right(Format.grouped(function.count), 9) + " ", Theme.plain),
          (ProfileText.share(function, total) + " ", Theme.faint),
        ])
    }
  }
}
