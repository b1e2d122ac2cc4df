// Checks the decoder against others' work and against noise; a tool for tests, not part of the product.
//
//     decodecheck objdump [--parts N] [--intel] FILE…   compares length and text with objdump's, over .text
//     decodecheck random COUNT [SEED]                   decodes COUNT random byte strings in each of the three modes
//     decodecheck noise MODE COUNT [SEED [all]]         compares COUNT random strings with objdump's; MODE 16, 32, 64
//     decodecheck speed FILE                            measures decoding of .text
//
// `--parts N` compares N windows of 128 KiB, evenly spread, instead of everything. Exit status 1: differences found.

import Glibc

@main struct Command {
  static func main() {
    var arguments = Array(CommandLine.arguments.dropFirst())
    guard !arguments.isEmpty else { usage() }
    switch arguments.removeFirst() {
    case "objdump": objdump(arguments)
    case "random":
      let count = arguments.first.flatMap { Int($0) } ?? 1_000_000
      RandomCheck.run(count: count, seed: arguments.dropFirst().first.flatMap { UInt64($0) } ?? 1)
    case "noise": noise(arguments)
    case "speed": SpeedCheck.run(arguments)
    default: usage()
    }
  }

  static func usage() -> Never {
    print(
      "usage: decodecheck objdump [--parts N] [--intel] FILE… | random COUNT [SEED] | "
        + "noise MODE COUNT [SEED [all]] | speed FILE")
    exit(2)
  }

  static func noise(_ arguments: [String]) {
    guard arguments.count >= 2, let count = Int(arguments[1]) else { usage() }
    var comparison = Comparison(isIntel: false)
    comparison.mode = arguments[0] == "16" ? .bits16 : arguments[0] == "32" ? .bits32 : .bits64
    comparison.runNoise(count: count, seed: arguments.count > 2 ? UInt64(arguments[2]) ?? 1 : 1)
    comparison.report("noise, \(arguments[0])-bit")
    // Noise is full of what is no instruction, and of spellings nobody has use for; lengths must agree all the same.
    let limit = comparison.instructions / (comparison.mode == .bits16 ? 8 : 200)
    let hasFailed =
      comparison.wrongLengths > 0 || comparison.wrongTexts > limit || comparison.instructions == 0
    if hasFailed || arguments.count > 3 { comparison.reportDifferences() }
    exit(hasFailed ? 1 : 0)
  }

  static func objdump(_ arguments: [String]) {
    var parts = 0
    var isIntel = false
    var files: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      switch argument {
      case "--parts": parts = rest.popFirst().flatMap { Int($0) } ?? 0
      case "--intel": isIntel = true
      default: files.append(argument)
      }
    }
    var total = Comparison(isIntel: isIntel)
    for file in files {
      var comparison = Comparison(isIntel: isIntel)
      comparison.run(file, parts: parts)
      comparison.report(file)
      total.add(comparison)
    }
    if files.count > 1 { total.report("all") }
    total.reportDifferences()
    exit(total.hasFailed ? 1 : 0)
  }
}
