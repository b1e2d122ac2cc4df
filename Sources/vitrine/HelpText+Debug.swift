// What `vitrine help debug` says.

extension HelpText {
  static let debugUsage = "usage: vitrine debug [OPTION]... [--] PROGRAM [ARGUMENT]...\n"

  static let debug = """
    vitrine debug - run a program under a debugger

    \(debugUsage)
    Without --gdb, --command and --script: a debugger on the whole screen, in front
    of the program's first instruction. Code, registers, stack, frames, memory,
    mappings, system calls, breakpoints and the program's own terminal are shown in
    panels. The key ? shows what there is; q leaves.

    options of the terminal's debugger:
      --command COMMAND   execute a command and print its answer instead of showing
                          a screen; may be given again
      --script FILE       execute the commands of a file, one a line; # begins a
                          remark; - is standard input
      --json              answer in JSON, one object a command
      --syntax intel|att  how instructions are written
    With debug information (gcc -g) lines of the source are places, and there are
    steps by lines (step-line, next-line; Docs/lines.md).
    The program gets a terminal of its own. With --command and --script what it
    writes there also goes to standard error.

    options of the remote protocol:
      --gdb HOST:PORT     wait for gdb or lldb. HOST is an address or localhost
                          (also when it is left out), * for everywhere; port 0
                          takes a free one. Whoever connects has all your rights:
                          leave it at localhost
      --gdb unix:PATH     wait at a socket in the file system
      --gdb STDIO         speak over standard input and output; the program's input
                          is then empty, and its output goes to standard error
    On a recording (vitrine record) gdb goes backwards, too: reverse-step,
    reverse-next, reverse-finish, reverse-continue to breakpoints, watchpoints
    (watch, rwatch, awatch) and what is caught (syscall, signal, fork, exec).
    What is changed there makes a timeline of its own (monitor timelines).
    Such a debugger needs neither the program nor its libraries: it reads them
    through Vitrine. One that detaches leaves the program running; another one can
    connect later. monitor help, typed in gdb, shows what else there is.

      --help              this text
    All options of vitrine run except --budget and --count go here too.

    Breakpoints are not written into the program's memory; watchpoints are unlimited
    in number and size.

    The exit code is the program's, as with vitrine run. With --command and --script
    it is 0, or 1 when a command failed or an expect did not hold: that one is the
    last. On the screen it is 0 while the program has not ended.

    examples:
      vitrine debug ./program one two
      vitrine debug --command 'break main' --command continue --command frames ./program
      vitrine debug --command 'break program.c:12' --command continue \\
                    --command list --command 'next-line 3' ./program
      vitrine debug --script bug.commands --json ./program
      vitrine debug --command 'watch counter' --command continue \\
                    --command 'expect [counter] < 100' ./program
      vitrine debug --command 'picture screen.svg 120x40' ./program
      vitrine debug --command 'profile 0 1000000' --command 'accesses rsp 64' crash.rec
      vitrine debug --command 'seek end' --command 'previous-syscall openat' \\
                    --command 'reverse-when rax == 5' crash.rec
      vitrine debug --gdb :1234 ./program one two
      gdb -ex 'target remote :1234'
      gdb -ex 'target remote | vitrine debug --gdb STDIO ./program'
      gdb -ex 'target remote :1234' -ex 'break main' -ex continue
      lldb -o 'gdb-remote 1234' -o 'breakpoint set --name main' -o continue
      vitrine record -o crash.rec ./program
      gdb -ex 'target remote | vitrine debug --gdb STDIO crash.rec' \\
          -ex continue -ex 'watch counter' -ex reverse-continue ./program

    """
}
