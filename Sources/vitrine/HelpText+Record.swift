// The help texts of recording and replay.

extension HelpText {
  static let recordUsage = "usage: vitrine record [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
  static let replayUsage = "usage: vitrine replay [OPTION]... RECORDING\n"

  static let coreUsage = "usage: vitrine core [OPTION]... RECORDING[@INSTANT]\n"

  static let core = """
    vitrine core - write an instant of a recording as a core file

    \(coreUsage)
    Debuggers open the file as if the program had died there: all threads with
    their registers, the mapped files, all memory. INSTANT is a number of
    instructions, start or end (which it is if not said).

    options:
      -o, --output FILE   the core file (default: core)
      --timeline N        one of the recorded processes (vitrine replay --list)
      --engine NAME       as for vitrine run
      --help              this text

    examples:
      vitrine record -o date.rec date
      vitrine core date.rec@100000 -o date.core
      gdb -ex backtrace /bin/date date.core

    """

  static let record = """
    vitrine record - run a program and write down what it got from outside

    \(recordUsage)
    The program runs as under `vitrine run`. What crosses into its machine goes to
    a file: results of system calls, signals, mapped files, switches between
    threads. `vitrine replay` runs the file again, without the program, its files
    or its network. Children that the program forks are in the same file.

    options:
      -o, --output FILE   the recording (default: vitrine.rec)
      --seed N            another schedule of the program's threads
      --chaos             switch threads as often and as unevenly as possible
      --strict            let the replay compare registers at every event, and
                          memory at the end
    All options of `vitrine run` are allowed but --budget.

    examples:
      vitrine record -o date.rec date
      vitrine replay date.rec
      vitrine record --chaos -o threads.rec python3 threads.py

    """

  static let travel = """
    On a recording (vitrine help record) vitrine debug goes to any instant of it,
    forwards and backwards:

      vitrine debug [--command COMMAND]... [--script FILE] [--json] [--timeline N]
                    [--engine NAME] [--syntax intel|att] [--checkpoint-memory MIB]
                    RECORDING

    On a terminal: the same screen as for a program, with a time line. s n f c u go
    forwards, S N F C U backwards, the wheel over the code steps both ways, and a
    click on the time line goes there. Without a terminal, and with --script -,
    commands are read from standard input and answered one by one.
    The commands are those for a program, and the same backwards: reverse-step,
    reverse-next, reverse-finish, reverse-until, reverse-continue; seek, last-change,
    where. The command help lists them; the exit code is 1 when one fails.
    A register or memory that is changed (set, poke) makes a timeline of its own, on
    which the program goes on from there; what was recorded stays what it was.
    timelines lists them, timeline N goes over to one.

    examples:
      vitrine debug crash.rec
      vitrine debug --command 'seek end' --command registers crash.rec
      vitrine debug --command 'seek end' --command 'last-change rsp 8' crash.rec
      vitrine debug --command 'break main' --command continue \\
                    --command reverse-step --command where crash.rec
      vitrine debug --command 'break main' --command continue --command 'set rdi = 1' \\
                    --command 'seek end' --command timelines crash.rec

    """

  static let replay = """
    vitrine replay - run a recording again, exactly

    \(replayUsage)
    Does again what the program did, instruction by instruction, and prints what
    it printed. Nothing is read but the recording, and nothing is written but
    standard output and standard error. At every event the replay is compared with
    the recording; a difference ends it with a message and exit code 125. The
    exit code is the program's otherwise, 0 where the recording ends early.

    options:
      -q, --quiet         do not print what the program printed
      --list              list the recorded processes
      --timeline N        replay only this process of the list
      --engine NAME       auto, translator or interpreter

    examples:
      vitrine replay date.rec
      vitrine replay --list build.rec

    """
}
