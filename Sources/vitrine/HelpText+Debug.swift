// What `vitrine help debug` says.

extension HelpText {
  static let debugUsage = "usage: vitrine debug --gdb WHERE [OPTION]... [--] PROGRAM [ARGUMENT]...\n"

  static let debug = """
    vitrine debug - run a program under a debugger

    \(debugUsage)
    Waits for gdb in front of the program's first instruction. Other debuggers
    that speak its remote protocol, such as lldb, are not tested. gdb needs
    neither the program nor its libraries: it reads them through Vitrine.
    Breakpoints are not written into the program's memory, watchpoints are
    unlimited in number and size.

    options:
      --gdb HOST:PORT     wait for a TCP connection. HOST is an address or
                          localhost (also when it is left out), * for everywhere;
                          port 0 takes a free one. Whoever connects has all your
                          rights: leave it at localhost
      --gdb unix:PATH     wait at a socket in the file system
      --gdb STDIO         speak over standard input and output; the program's input
                          is then empty, and its output goes to standard error
      --help              this text
    All options of vitrine run except --budget and --count go here too.

    A debugger that detaches leaves the program running; another one can connect
    later, at the same place. monitor help, typed in gdb, shows what else there is.

    The exit code is the program's, as with vitrine run.

    examples:
      vitrine debug --gdb :1234 ./program one two
      gdb -ex 'target remote :1234'
      gdb -ex 'target remote | vitrine debug --gdb STDIO ./program'
      gdb -ex 'target remote :1234' -ex 'break main' -ex continue

    """
}
