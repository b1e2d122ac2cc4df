// What `vitrine help` says. Plain text of at most 80 columns; examples can be typed as they stand.

enum HelpText {
  static let usage = """
    usage: vitrine run [OPTION]... [--] PROGRAM [ARGUMENT]...
           vitrine debug --gdb WHERE [OPTION]... [--] PROGRAM [ARGUMENT]...
           vitrine record [OPTION]... [--] PROGRAM [ARGUMENT]...
           vitrine replay [OPTION]... RECORDING
           vitrine trace [OPTION]... RECORDING
           vitrine core [OPTION]... RECORDING[@INSTANT]
           vitrine disassemble [OPTION]... FILE
           vitrine help [run | debug | record | replay | trace | core |
                         disassemble | exit-codes]
           vitrine --version

    """

  static let runUsage = "usage: vitrine run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
  static let disassembleUsage = "usage: vitrine disassemble [OPTION]... FILE\n"

  static func text(for topic: String) -> String? {
    switch topic {
    case "": return overview
    case "run": return run
    case "debug": return debug + travel
    case "record": return record
    case "replay": return replay
    case "trace": return trace
    case "core": return core
    case "disassemble": return disassemble
    case "exit-codes": return exitCodes
    default: return nil
    }
  }

  static let overview = """
    Vitrine runs x86-64 Linux programs inside a machine of its own.

    \(usage)
    commands:
      run           run a program
      debug         run a program under gdb
      record        run a program and write down what it got from outside
      replay        run a recording again, exactly
      trace         write what a recorded program did, for viewers
      core          write an instant of a recording as a core file
      disassemble   print the machine code of a program
      help          explain a command

    examples:
      vitrine run /usr/bin/busybox echo hello
      vitrine run --trace /usr/bin/busybox uname -a
      vitrine disassemble --symbol main ./program

    """

  static let run = """
    vitrine run - run an x86-64 Linux program

    \(runUsage)
    PROGRAM is an ELF file, dynamically linked or static, a portable executable
    (APE), flat code in a file named *.bin, or a script whose #! line names one
    of these. A name without a slash is looked for in PATH, then in the
    current directory. Everything after PROGRAM belongs to the program. The program gets
    Vitrine's environment and its standard streams.

    options:
      --env NAME=VALUE    set an environment variable of the program
      --unset-env NAME    remove one
      --clear-env         start with an empty environment
      --argv0 STRING      the program's argument 0 (default: PROGRAM)
      --root DIR          run the program with DIR as its / (see Docs/root.md);
                          PROGRAM and PATH are then looked up inside DIR
      --bind SRC:DST[:ro] show the host's file or directory SRC at DST, with :ro
                          so that it cannot be changed; can be given repeatedly
      --trace[=FILE]      print every system call to standard error, or to FILE
      --stats             print counts and times to standard error at the end
      --cpu LEVEL         v1, v2, v3, v4 or max: the x86-64 level of the
                          program's CPU (default: max, all that the engine
                          executes; v4 has AVX-512)
      --engine NAME       auto (default), translator or interpreter. The translator
                          makes machine code of the program's and is many times
                          faster; auto takes it where the host has BMI2
      --budget NUMBER     stop after this many instructions; exit code 125
      --randomize         randomise addresses as Linux does; without it every run
                          has the same layout
      --no-vdso           give the program no vdso: it reads clocks by system calls,
                          which --trace shows
      --vectors           show vector registers too when the program is killed by
                          a fault
      --help              this text

    options for the translator:
      --unguarded         let addresses outside the program's memory reach the
                          host's: a little faster, for programs that you trust
      --count             count instructions exactly (--budget does so too)
      --translation-cache SIZE
                          KiB of machine code to keep (default: 65536); when they
                          are full, everything is translated anew
      --store FOLDER      where machine code is kept for the next run (default:
                          vitrine in $XDG_CACHE_HOME or in ~/.cache)
      --no-store          keep none, and use none that was kept
      --no-links          go through the run loop at every branch (for tests)
      --flush-after N     forget all machine code after N blocks (for tests)
      --perf-map          write /tmp/perf-PID.map: perf report then names the
                          program's functions
      --perf-dump[=FOLDER]
                          write jit-PID.dump for perf inject --jit, here or in
                          FOLDER
      --dump-translation PLACE[,PLACE]...
                          print the machine code made of the blocks at an address
                          or of a function, under the program's instructions
      --syntax NAME       intel (default) or att: the syntax of that listing

    The exit code is the program's. A program killed by signal N gives 128 + N,
    and a fault is reported on standard error: the instruction, the registers,
    the nearest symbol, the memory around, a backtrace. Failures of Vitrine's own
    give 125 and a line that starts with "vitrine: ".

    examples:
      vitrine run /usr/bin/busybox ls -l /
      vitrine run --env LANG=C --cpu v2 ./program one two
      vitrine run --root ~/debian --bind "$PWD:/work" bash -c 'cd /work && ls'
      vitrine run --trace=calls.txt ./program
      vitrine run --trace --no-vdso date
      vitrine run --stats -- ./program --stats-of-its-own
      vitrine run --engine interpreter --budget 1000000 ./program
      vitrine run --dump-translation main,0x401000 --syntax att ./program
      perf record vitrine run --perf-map ./program && perf report
      perf record -k mono vitrine run --perf-dump ./program &&
        perf inject --jit -i perf.data -o named.data && perf report -i named.data

    """

  static let disassemble = """
    vitrine disassemble - print the machine code of an x86-64 ELF file

    \(disassembleUsage)
    Without --symbol or --range every executable section is printed.

    options:
      --symbol NAME       only this function, which has to have code of its own
      --range A-B         only addresses from A up to, not including, B
                          (hexadecimal with 0x, else decimal)
      --syntax NAME       intel (default) or att
      --lines             in place of code the table of source lines: where the code
                          of a line begins, and whether a statement begins there
      --inlined           the same with the functions that the code is of: what the
                          compiler has put into others first, with its place, then
                          what it was put into, with the line of the call
      --help              this text

    examples:
      vitrine disassemble --symbol main ./program
      vitrine disassemble --lines --symbol main ./program
      vitrine disassemble --inlined --symbol main ./program
      vitrine disassemble --range 0x401000-0x401040 --syntax att ./program

    """

  static let exitCodes = """
    exit codes of vitrine run

      0 ... 255   the program's own exit code
      128 + N     the program was killed by signal N (139: SIGSEGV, 132: SIGILL)
      125         Vitrine's own failure: a mistake in the command line, a file
                  that is missing or malformed, no memory, a spent --budget. A
                  line that starts with "vitrine: " says which.

    A program can also return 125 or 139 of its own accord; then nothing that
    starts with "vitrine: " is printed. A signal from outside, such as Ctrl-C,
    that the program does not catch ends Vitrine by the same signal, as it would
    end the program: shells show 128 + N, and scripts stop.
    Other commands give 0, or 125 after a failure.

    """
}
