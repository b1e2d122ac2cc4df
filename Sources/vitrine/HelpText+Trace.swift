// The help text of traces.

extension HelpText {
  static let traceUsage = """
    usage: vitrine trace [OPTION]... RECORDING
           vitrine trace [OPTION]... [--] PROGRAM [ARGUMENT]...

    """

  static let trace = """
    vitrine trace - write what a program did, for viewers

    \(traceUsage)
    Replays a recording (vitrine help record) instruction by instruction and writes
    what happened. The program is not disturbed: it has long since run. A PROGRAM is
    recorded to a temporary file first.

    options:
      --format FORMAT     what to write (default: calls):
                            instructions  each instruction with its symbol and text
                            accesses      each access to memory
                            calls         calls, returns and system calls, indented
                            callgrind     a profile for callgrind_annotate, KCachegrind
                            chrome        JSON for Perfetto and chrome://tracing
                            collapsed     stacks for flame graphs
                            coverage      objects, functions and blocks executed
                            lcov          lines of the sources and how often they were
                                          executed, for genhtml and editors
                            map           a picture of memory over time (SVG; PNG when
                                          FILE ends in .png)
      -o, --output FILE   where to write (default: standard output). --format and -o
                          may be repeated: one replay serves all
      --only WHAT         only the code of a function (its inlined copies, if it has none
                          of its own) or between addresses A-B; may be repeated
      --from N, --to N    from this instant, and up to it, counted in instructions
      --limit N           at most N instructions
      --timeline N        this process of the recording (vitrine replay --list)
      --arguments         calls: with the registers of arguments and results
      --values            accesses: with the bytes that were written
      --size WxH          map: cells over time and over addresses (240x160)
      --engine NAME       auto, translator or interpreter

    The exit code is 0, with PROGRAM that of the program, and 125 when there is no
    trace or not all of it. Docs/trace.md describes the formats.

    examples:
      vitrine trace --format callgrind -o callgrind.out.1 program.rec
      vitrine trace --format lcov -o program.info ./program
      vitrine trace --only main --format calls --arguments program.rec
      vitrine trace --format map -o map.svg --format collapsed -o stacks ./program
      vitrine trace --format map -o map.png program.rec

    """
}
