// The oracle's command: reads the rows, runs the cases, reports mismatches and rows without coverage.

import CHost
import CNative
import Glibc
import GuestMemory

struct Oracle {
  private var states = 64
  private var seed: UInt64 = 1
  private var filter: String?
  private var show = 3
  private var folder = "ISA"
  private var engine = "interpreter"
  /// `--blocks`: random blocks instead of single instructions.
  private var blocks = BlockOptions()

  /// `--capture`: where to write vectors; `--replay`: check against these alone.
  private var capture: String?
  private var replay: String?
  private var vectors = Vectors()
  private var replayed = 0

  private var cases = 0
  private var mismatches = 0
  /// Differences from processors of another maker than AMD, which the manual allows.
  private var excused = 0
  private var failedForms: [String] = []
  private var uncovered: [String] = []
  private var unavailable: Set<String> = []

  /// Where the guest's memory goes.
  private let window: IsolatedWindow?

  private init(_ window: IsolatedWindow?) { self.window = window }

  /// Reads the command line, runs, and leaves with the exit code.
  static func start(_ window: IsolatedWindow?) -> Never {
    var arguments: [String] = []
    var block = vt_kernel_block()
    if vt_kernel_block_find(&block) == 0 {
      for index in 1..<max(1, Int(block.count)) {
        if let word = block.arguments[index] { arguments.append(String(cString: word)) }
      }
    }
    exit(run(arguments, window))
  }

  private static func run(_ arguments: [String], _ window: IsolatedWindow?) -> Int32 {
    var oracle = Oracle(window)
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--list-engines":
        for name in Engines.tested { print(name) }
        return 0
      case "--faults":
        oracle.blocks.faults = true
        continue
      default: break
      }
      guard let value = rest.popFirst() else { return usage() }
      switch option {
      case "--states": oracle.states = Int(value) ?? oracle.states
      case "--seed": oracle.seed = UInt64(value) ?? 1
      case "--row": oracle.filter = value
      case "--show": oracle.show = Int(value) ?? oracle.show
      case "--isa": oracle.folder = value
      case "--engine": oracle.engine = value
      case "--blocks": oracle.blocks.count = Int(value) ?? 0
      case "--only": oracle.blocks.only = UInt64(value)
      case "--length":
        guard oracle.blocks.setLength(value) else { return usage() }
      case "--capture": oracle.capture = value
      case "--replay": oracle.replay = value
      default: return usage()
      }
    }
    return oracle.run()
  }

  private static func usage() -> Int32 {
    print(
      "usage: oracle [--states N] [--seed S] [--row MNEMONIC|FILE.isa[:LINE]] [--show N] [--isa DIRECTORY]\n       [--engine \(Engines.names)] [--capture FILE | --replay FILE]\n       oracle --blocks N [--seed S] [--engine NAME] [--faults] [--length MIN-MAX] [--only SEED]\n       oracle --list-engines"
    )
    return 2
  }

  private mutating func run() -> Int32 {
    guard let makeEngine = Engines.named(engine) else { return Oracle.usage() }
    guard let rows = readRows(), let guest = Guest(window, engine: makeEngine), native_install() == 0 else {
      print("oracle: cannot set up")
      return 2
    }
    if blocks.count > 0 || blocks.only != nil {
      blocks.seed = seed
      guard var command = BlockCommand(blocks, rows: rows, guest: guest) else {
        print("oracle: cannot set up blocks")
        return 2
      }
      return command.run()
    }
    guard mapAreas(guest) else {
      print("oracle: cannot map the areas")
      return 2
    }
    let path = replay ?? "Tests/Oracle/vectors.txt"
    if capture == nil, let known = Vectors(path: path) { vectors = known }
    for row in rows where selects(row) && isExecutable(row, guest) {
      if capture != nil || replay != nil { checkVectors(row, guest) } else { check(row, guest) }
    }
    if let capture, !vectors.write(to: capture) { print("oracle: cannot write \(capture)") }
    for line in failedForms { print("mismatch: \(line)") }
    if !unavailable.isEmpty { print("not on this host: \(unavailable.sorted().joined(separator: " "))") }
    if replayed > 0 { print("checked against captured vectors: \(replayed) forms") }
    if capture != nil { print("captured: \(vectors.count) forms") }
    if excused > 0 { print("left open by the manual, otherwise than on AMD's processors: \(excused) cases") }
    for line in uncovered { print("without coverage: \(line)") }
    print("oracle: \(cases) cases, \(mismatches) mismatches in \(failedForms.count) forms, seed \(seed)")
    return mismatches == 0 && uncovered.isEmpty ? 0 : 1
  }

  private func readRows() -> [Row]? {
    var parser = RowParser()
    for name in Files.list(folder).filter({ $0.hasSuffix(".isa") }).sorted() {
      guard let text = Files.read(folder + "/" + name) else { return nil }
      parser.parse(text, file: name)
    }
    for problem in parser.problems { print(problem.description) }
    return parser.rows
  }

  /// Maps the areas of single instructions on both sides. Blocks must not find them: what a block writes outside of its own
  /// areas is not put back, and its next run would read it.
  private func mapAreas(_ guest: Guest) -> Bool {
    native_map(Layout.code, Layout.codeSize, 7) == 0 && native_map(Layout.data, Layout.dataSize, 3) == 0
      && guest.mapAreas()
  }

  private func selects(_ row: Row) -> Bool {
    guard let filter else { return true }
    return row.mnemonic == filter || row.file == filter || row.location == filter
      || row.semantic?.name == filter
  }

  /// Semantics whose results are not a function of the state, or that go to other segments: checked by tests of their own.
  private static let unrepeatable: Set<String> = [
    "cpuid", "rdtsc", "rdtscp", "rdrand", "rdseed", "rdpid", "lsl", "syscall", "xgetbv", "int", "int1",
    "wrfsbase",
    "rdfsbase",
    "wrgsbase", "rdgsbase", "readFSBase", "readGSBase", "writeFSBase", "writeGSBase",
    "callf", "jmpf", "retf", "iret", "loadFar",
  ]

  private func isExecutable(_ row: Row, _ guest: Guest) -> Bool {
    if row.isVectors512 {
      // What copies instructions needs no semantics, and there is nothing to capture for what cannot.
      return guest.engine.executesVectors512 && capture == nil && replay == nil
    }
    guard let semantic = row.semantic, !row.attributes.contains(.priv) else { return false }
    // Loading a segment register would take this process's own FS base away.
    if row.operands.contains(where: { $0.kind == .segment && $0.access != .read }) { return false }
    return !Oracle.unrepeatable.contains(semantic.name)
  }

  // MARK: One row

  private mutating func check(_ row: Row, _ guest: Guest) {
    let missing = row.features.filter { !HostFeatures.has($0) }
    if !missing.isEmpty {
      unavailable.formUnion(missing)
      if !row.isVectors512 { checkVectors(row, guest) }
      return
    }
    var isCovered = row.attributes.contains(.i64) || row.encoding.addressSize == 16
    for form in TestForm.allCases where RowEncoder.allows(row, form) {
      isCovered = true
      check(row, form, guest)
    }
    if row.encoding.operandSize == 32 && row.attributes.contains(.d64) { isCovered = true }
    if !isCovered { uncovered.append("\(row.location) \(row.mnemonic)") }
  }

  private mutating func check(_ row: Row, _ form: TestForm, _ guest: Guest) {
    var random = RandomSource(
      seed: seed &* 0x1_0001 &+ UInt64(row.id) &* 8 &+ UInt64(TestForm.allCases.firstIndex(of: form) ?? 0))
    let comparison = Comparison(row: row)
    var shown = 0
    var failures = 0
    var done = 0
    while done < states {
      let count = min(Layout.slots, states - done)
      var instructions: [EncodedInstruction] = []
      for slot in 0..<count {
        let address = Layout.code + UInt64(slot + 1) * Layout.slotSize
        instructions.append(RowEncoder.encode(row, form, &random, codeAddress: address))
      }
      writeCode(instructions, guest)
      for slot in 0..<count {
        var generator = StateGenerator(random: random, hasVectors512: guest.engine.executesVectors512)
        let address = Layout.code + UInt64(slot + 1) * Layout.slotSize
        var state = generator.state(for: row, instructions[slot], rip: address)
        let wide = guest.engine.executesVectors512
        let area =
          SaveArea.concerns(row)
          ? SaveArea.place(row, instructions[slot], &state, vectors512: wide) : nil
        fillData(&generator, guest, row, area)
        random = generator.random
        if SaveArea.concerns(row) && area == nil { continue }
        let run = compare(state, comparison, guest, area)
        var lines = run.lines
        if row.isVectors512 { lines += EncodingCheck.differences(instructions[slot], row) }
        cases += 1
        if lines.isEmpty { continue }
        let choice = MakersChoice(
          row: row, form: form, instruction: instructions[slot], start: state, run: run)
        if choice.isExcused {
          excused += 1
          continue
        }
        failures += 1
        if shown < show {
          shown += 1
          report(row, form, instructions[slot], state, lines)
        }
      }
      done += count
    }
    if failures > 0 {
      mismatches += failures
      failedForms.append("\(row.location) \(row.mnemonic) \(form): \(failures) of \(states)")
    }
  }

  // MARK: Vectors

  /// Captures a row's vectors, or compares the guest with those that were captured.
  private mutating func checkVectors(_ row: Row, _ guest: Guest) {
    // Save areas hold bytes that differ from processor to processor.
    if SaveArea.concerns(row) { return }
    for form in TestForm.allCases where RowEncoder.allows(row, form) {
      guard capture == nil else {
        if row.features.allSatisfy(HostFeatures.has) {
          vectors[row, form] = digest(row, form, guest, native: true)
        }
        continue
      }
      replayed += 1
      cases += Vectors.states
      guard let expected = vectors[row, form] else {
        uncovered.append("\(row.location) \(row.mnemonic) \(form): no captured vector")
        continue
      }
      let found = digest(row, form, guest, native: false)
      if found != expected {
        // Approximations, NaNs of DPPS, last places: captured on AMD's processors, and here the engine does as this host.
        let isHostOwn = !MakersChoice.isAMD && row.features.allSatisfy(HostFeatures.has)
        if isHostOwn && digest(row, form, guest, native: true) == found {
          excused += Vectors.states
          continue
        }
        mismatches += 1
        failedForms.append("\(row.location) \(row.mnemonic) \(form): differs from its captured vector")
      }
    }
  }

  /// Digest of the results of `Vectors.states` states, of the native side or of the guest.
  private func digest(_ row: Row, _ form: TestForm, _ guest: Guest, native: Bool) -> UInt64 {
    let place = UInt64(TestForm.allCases.firstIndex(of: form) ?? 0)
    var random = RandomSource(seed: Vectors.identity(row) &+ place)
    let comparison = Comparison(row: row)
    var digest = Digest()
    let address = Layout.code + Layout.slotSize
    for _ in 0..<Vectors.states {
      let instruction = RowEncoder.encode(row, form, &random, codeAddress: address)
      writeCode([instruction], guest)
      var generator = StateGenerator(random: random)
      let state = generator.state(for: row, instruction, rip: address)
      fillData(&generator, guest, row, nil)
      random = generator.random
      var guestState = state
      let guestEnding = guest.run(&guestState)
      // What wild pointers hit natively depends on the process; such states are left out on both sides.
      if case .pageFault(let wild) = guestEnding, !Layout.contains(wild) || comparison.mayFaultEarly {
        continue
      }
      guard native else {
        comparison.add(guestState, guestEnding, to: &digest)
        Oracle.addData(guest.data, to: &digest)
        continue
      }
      var nativeState = state
      var result = native_result()
      native_run(&nativeState, &result)
      comparison.add(nativeState, Ending(result), to: &digest)
      if let data = UnsafeRawPointer(bitPattern: UInt(Layout.data)) { Oracle.addData(data, to: &digest) }
    }
    return digest.value
  }

  private static func addData(_ data: UnsafeRawPointer, to digest: inout Digest) {
    for offset in stride(from: 0, to: Int(Layout.dataSize), by: 8) {
      digest.add(data.load(fromByteOffset: offset, as: UInt64.self))
    }
  }

  private func writeCode(_ instructions: [EncodedInstruction], _ guest: Guest) {
    var image = [UInt8](repeating: 0xcc, count: Int(Layout.codeSize))
    for (slot, instruction) in instructions.enumerated() {
      let offset = (slot + 1) * Int(Layout.slotSize)
      for (index, byte) in instruction.bytes.enumerated() { image[offset + index] = byte }
    }
    image.withUnsafeBytes { bytes in
      guest.writeCode(bytes, at: Layout.code)
      native_protect(Layout.code, Layout.codeSize, 7)
      defer { native_protect(Layout.code, Layout.codeSize, 5) }
      UnsafeMutableRawPointer(bitPattern: UInt(Layout.code))?.copyMemory(
        from: bytes.baseAddress ?? UnsafeRawPointer(guest.code), byteCount: bytes.count)
    }
    guest.engine.flush()
  }

  private func fillData(_ generator: inout StateGenerator, _ guest: Guest, _ row: Row, _ area: UInt64?) {
    guard let native = UnsafeMutableRawPointer(bitPattern: UInt(Layout.data)) else { return }
    let bytes = UnsafeMutableRawBufferPointer(start: native, count: Int(Layout.dataSize))
    generator.fill(bytes)
    if let area { SaveArea.prepare(row, area, &generator.random, vectors512: generator.hasVectors512) }
    guest.data.copyMemory(from: native, byteCount: bytes.count)
  }

  private func compare(
    _ start: native_state, _ comparison: Comparison, _ guest: Guest, _ area: UInt64?
  ) -> OracleRun {
    // The engine goes first: where it faults tells whether silicon would read or write this process's own memory.
    var guestState = start
    let guestEnding = guest.run(&guestState)
    var nativeState = start
    func run(_ lines: [String], _ nativeEnding: Ending) -> OracleRun {
      OracleRun(lines: lines, native: (nativeState, nativeEnding), guest: (guestState, guestEnding))
    }
    if case .pageFault(let address) = guestEnding, !Layout.contains(address), native_is_mapped(address) != 0 {
      return run([], guestEnding)
    }
    var result = native_result()
    native_run(&nativeState, &result)
    let nativeEnding = Ending(result)
    if comparison.mustBeDefined, nativeEnding == .invalidOpcode {
      return run(["undefined on this host"], nativeEnding)
    }
    if isExcused(nativeEnding, guestEnding, comparison) || hasHostMXCSR(nativeState) {
      return run([], nativeEnding)
    }
    var lines: [String] = []
    if nativeEnding != guestEnding { lines.append("ending: native \(nativeEnding), guest \(guestEnding)") }
    let isPartial = comparison.mayBePartial && lines.isEmpty && nativeEnding != .completed
    lines += comparison.differences(nativeState, guestState).filter { !isPartial || !Comparison.isVector($0) }
    guard let native = UnsafeRawPointer(bitPattern: UInt(Layout.data)) else {
      return run(lines, nativeEnding)
    }
    if let area { SaveArea.settle(area, guestData: guest.data) }
    if memcmp(native, guest.data, Int(Layout.dataSize)) != 0 {
      for offset in stride(from: 0, to: Int(Layout.dataSize), by: 8) {
        let a = native.load(fromByteOffset: offset, as: UInt64.self)
        let b = guest.data.load(fromByteOffset: offset, as: UInt64.self)
        if a != b, lines.count < 12 {
          lines.append(
            "[\(comparison.hex(Layout.data + UInt64(offset)))]: native \(comparison.hex(a)), guest \(comparison.hex(b))"
          )
        }
      }
    }
    return run(lines, nativeEnding)
  }

  /// Differences that are not the instruction's: faults of which the manual leaves open which byte comes first.
  private func isExcused(_ native: Ending, _ guest: Ending, _ comparison: Comparison) -> Bool {
    if case .pageFault = native, comparison.mayFaultEarly { return true }
    if native == guest { return false }
    guard comparison.hasLargeArea else { return false }
    switch (native, guest) {
    case (.pageFault, .pageFault), (.stackFault, .generalProtection): return true
    default: return false
    }
  }

  /// AMD processors let a program set MXCSR bit 17 (misaligned exceptions), which the guest's CPU does not have.
  private func hasHostMXCSR(_ state: native_state) -> Bool {
    withUnsafeBytes(of: state.extended) { $0.load(fromByteOffset: 24, as: UInt32.self) & 0x20000 != 0 }
  }

  private func report(
    _ row: Row, _ form: TestForm, _ instruction: EncodedInstruction, _ state: native_state, _ lines: [String]
  ) {
    let bytes = instruction.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    print("\(row.location) \(row.mnemonic) \(form) [\(bytes)] mxcsr+fcw \(controlWords(state))")
    for line in lines.prefix(8) { print("    " + line) }
  }

  private func controlWords(_ state: native_state) -> String {
    withUnsafeBytes(of: state.extended) { area in
      let mxcsr = area.load(fromByteOffset: 24, as: UInt32.self)
      let control = area.load(fromByteOffset: 0, as: UInt16.self)
      return String(mxcsr, radix: 16) + " " + String(control, radix: 16)
    }
  }
}
