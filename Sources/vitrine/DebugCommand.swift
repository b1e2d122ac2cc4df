// `vitrine debug`: a program under a debugger. So far that is one that speaks gdb's remote protocol.
import Debugger
import VirtualMachine

enum DebugCommand {
  static func run(_ words: [[UInt8]], _ process: ProcessArguments) -> Int32 {
    do {
      guard let (configuration, address) = try parse(words, process) else {
        Terminal.write(HelpText.debug, to: 1)
        return 0
      }
      return run(configuration, address, process)
    } catch {
      Terminal.complain(error.message)
      Terminal.write(HelpText.debugUsage + "Try: vitrine help debug\n", to: 2)
      return ownFailureCode
    }
  }

  /// Takes `--gdb` out of the options; the others are those of `vitrine run`. Nil when help is wanted.
  private static func parse(
    _ words: [[UInt8]], _ process: ProcessArguments
  ) throws(UsageError) -> (UserMachineConfiguration, DebuggerAddress)? {
    var address: DebuggerAddress?
    guard
      let configuration = try RunCommand.parse(
        words, process,
        further: { (option, reader) throws(UsageError) in
          guard option.name == "--gdb" else { return false }
          let text = try reader.bytes(of: option)
          guard let parsed = DebuggerAddress(text) else {
            let place = shown(String(decoding: text, as: UTF8.self))
            throw UsageError("--gdb needs HOST:PORT, unix:PATH or STDIO, not \(place)")
          }
          address = parsed
          return true
        })
    else { return nil }
    guard let address else { throw UsageError("--gdb is missing: where to wait for a debugger") }
    if configuration.budget != nil || configuration.translator.countsInstructions {
      throw UsageError("--budget and --count do not go together with a debugger")
    }
    return (configuration, address)
  }

  private static func run(
    _ configuration: UserMachineConfiguration, _ address: DebuggerAddress, _ process: ProcessArguments
  ) -> Int32 {
    var configuration = configuration
    let server = GDBServer(address: address) { Terminal.complain($0) }
    // SAFETY: the closure is called once, by the machine, before any thread of the guest begins.
    nonisolated(unsafe) let shared = server
    configuration.makeController = { shared.makeController() }
    return RunCommand.run(configuration, process)
  }
}
