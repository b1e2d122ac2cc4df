// The command: which guest code is translated by which engine, and what the outcome must be.

import Glibc
import GuestMemory

struct EscapeCheck {
  private var seed: UInt64 = 1
  private var samples = 24
  private var chains = 100_000
  private var folder = "ISA"
  private var window: IsolatedWindow?
  private var passed = 0
  private var failed = 0

  static func main(_ arguments: [String], _ window: IsolatedWindow?) -> Int32 {
    var check = EscapeCheck()
    check.window = window
    var rest = arguments[...]
    while let option = rest.popFirst() {
      if option == "--programs" { return check.programs(Array(rest)) }
      guard let value = rest.popFirst() else { return usage() }
      switch option {
      case "--seed": check.seed = UInt64(value) ?? 1
      case "--samples": check.samples = Int(value) ?? check.samples
      case "--chains": check.chains = Int(value) ?? check.chains
      case "--isa": check.folder = value
      default: return usage()
      }
    }
    return check.everything()
  }

  private static func usage() -> Int32 {
    print("usage: escapecheck [--seed S] [--samples N] [--chains N] [--isa DIRECTORY] | --programs FILE…")
    return 2
  }

  private func readRows() -> [Row]? {
    var parser = RowParser()
    for name in Files.list(folder).filter({ $0.hasSuffix(".isa") }).sorted() {
      guard let text = Files.read(folder + "/" + name) else { return nil }
      parser.parse(text, file: name)
    }
    return parser.rows
  }

  private mutating func everything() -> Int32 {
    guard let rows = readRows(), !rows.isEmpty else {
      print("escapecheck: no rows in \(folder)")
      return 2
    }
    var source = BlockSource(rows: rows, seed: seed)
    run("rows", source.everyRow(samples: samples), &source)
    run("rows, counting", source.everyRow(samples: 2), &source, counting: true)
    run("addresses", source.everyAddress(), &source)
    run("chains", (0..<chains).map { _ in source.chain() }, &source)
    run("chains, counting", (0..<chains / 8).map { _ in source.chain() }, &source, counting: true)
    run("chains, unlinked", (0..<chains / 8).map { _ in source.chain() }, &source, linking: false)
    run("loops", (0..<chains).map { _ in source.loop() }, &source)
    run("loops, counting", (0..<chains / 8).map { _ in source.loop() }, &source, counting: true)
    mutations()
    unguarded(&source)
    return finish()
  }

  private func finish() -> Int32 {
    print("\(passed) passed, \(failed) failed")
    return failed == 0 ? 0 : 1
  }

  // MARK: Blocks

  private mutating func run(
    _ name: String, _ pieces: [BlockSource.Piece], _ source: inout BlockSource, counting: Bool = false,
    linking: Bool = true
  ) {
    guard let sandbox = Sandbox(window, counting: counting, linking: linking) else {
      print("escapecheck: cannot set up")
      return failed += 1
    }
    let begin = EscapeCheck.seconds()
    EscapeCheck.translate(pieces, &source, sandbox)
    report(name, sandbox, EscapeCheck.seconds() - begin)
  }

  /// Translates and checks `pieces`, in batches, at both places in turn.
  private static func translate(
    _ pieces: [BlockSource.Piece], _ source: inout BlockSource, _ sandbox: Sandbox
  ) {
    let spacing: UInt64 = 256
    let batch = Int(Sandbox.room / spacing) - 1
    var next = 0
    var turn = 0
    while next < pieces.count {
      let place = Sandbox.places[turn % Sandbox.places.count]
      turn += 1
      let group = pieces[next..<min(next + batch, pieces.count)]
      next += group.count
      var loaded: [(address: UInt64, bytes: [UInt8])] = []
      for (number, piece) in group.enumerated() {
        let address = place + UInt64(number) * spacing
        loaded.append((address, Array((piece.make(&source, address) + source.ending()).prefix(Int(spacing)))))
      }
      guard sandbox.load(loaded, at: place) else { continue }
      for (piece, code) in zip(group, loaded) {
        var address = code.address
        let end = code.address + UInt64(code.bytes.count)
        // What the first block leaves over is a block of its own.
        while address < end, let block = sandbox.check(address, "\(piece.name) [\(hex(code.bytes))]") {
          address += UInt64(max(block.guestSize, 1))
        }
        guard piece.name == "chain" else { continue }
        if let entry = sandbox.engine.indirectEntry(of: code.address) {
          sandbox.judge(EmittedCode(address: entry.host, bytes: entry.code), "indirect entry")
        }
        if let link = sandbox.engine.indirectLink(to: code.address) {
          sandbox.judge(EmittedCode(address: link.host, bytes: link.code), "link of indirect entries")
        }
      }
    }
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }

  private mutating func report(_ name: String, _ sandbox: Sandbox, _ time: Double) {
    let rate = time > 0 ? Int(Double(sandbox.blocks) / time) : 0
    print(
      "\(name): \(sandbox.blocks) blocks, \(sandbox.instructions) host instructions, \(sandbox.refusals) refused, "
        + "\(rate) blocks a second")
    passed += sandbox.blocks - sandbox.refusals
    failed += sandbox.refusals + (sandbox.blocks == 0 ? 1 : 0)
  }

  private static func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  // MARK: The checker itself

  private mutating func mutations() {
    for counting in [false, true] { mutations(counting: counting) }
  }

  private mutating func mutations(counting: Bool) {
    guard let sandbox = Sandbox(window, counting: counting) else { return failed += 1 }
    var mutations = Mutations()
    let place = Sandbox.places[0]
    let sources = Mutations.sources() + Mutations.loops()
    let loaded = sources.enumerated().map {
      (address: place + UInt64($0.offset) * 64, bytes: $0.element.bytes)
    }
    guard sandbox.load(loaded, at: place) else { return failed += 1 }
    for (source, code) in zip(sources, loaded) {
      guard let block = sandbox.check(code.address, source.name) else {
        failed += 1
        continue
      }
      if counting {
        mutations.spoilCharges(EmittedCode(block), sandbox.layout, source.name)
        continue
      }
      mutations.spoil(EmittedCode(block), sandbox.layout, source.name)
      if source.name.hasPrefix("loop: ") {
        mutations.spoilLoop(EmittedCode(block), sandbox.layout, source.name)
      }
    }
    for survivor in mutations.survivors.prefix(20) { print("not refused: \(survivor)") }
    print(
      "mutations\(counting ? ", counting" : ""): \(mutations.tried) of \(mutations.byKind.count) kinds, \(mutations.survivors.count) not refused, "
        + "\(sandbox.refusals) originals refused")
    passed += mutations.tried - mutations.survivors.count
    failed += mutations.survivors.count + sandbox.refusals + (mutations.tried == 0 ? 1 : 0)
  }

  /// Without the guard, every access through a register must be refused.
  private mutating func unguarded(_ source: inout BlockSource) {
    guard let sandbox = Sandbox(window, guarded: false) else { return failed += 1 }
    sandbox.show = 0
    let pieces = (0..<16).filter { $0 != 4 }.map { base in
      (
        name: "base \(base)",
        make: { (_: inout BlockSource, _: UInt64) in
          InstructionTemplate.load.encode(GuestOperand(base: base), register: 1) + [0xcc]
        }
      )
    }
    let place = Sandbox.places[0]
    let loaded = pieces.enumerated().map {
      (address: place + UInt64($0.offset) * 64, bytes: $0.element.make(&source, 0))
    }
    guard sandbox.load(loaded, at: place) else { return failed += 1 }
    for code in loaded { sandbox.check(code.address, "") }
    print("unguarded: \(sandbox.refusals) of \(loaded.count) refused")
    passed += sandbox.refusals
    failed += loaded.count - sandbox.refusals
  }

  // MARK: Programs

  private mutating func programs(_ files: [String]) -> Int32 {
    for path in files {
      guard let sandbox = Sandbox(window) else {
        print("escapecheck: cannot set up")
        return 2
      }
      let begin = EscapeCheck.seconds()
      guard sandbox.checkProgram(path) else {
        print("\(path): no ELF file with code")
        failed += 1
        continue
      }
      report(path, sandbox, EscapeCheck.seconds() - begin)
    }
    return finish()
  }
}
