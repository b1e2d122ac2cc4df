// Numbered breakpoints and watchpoints of a live machine, and the decision at one of them, which is made by the guest's thread without
// waking anybody.

import Debugger
import GuestMemory

extension LiveMachine {
  func add(_ breakpoint: Breakpoint) -> Breakpoint? {
    guard memory?.query(breakpoint.address) != nil else { return nil }
    var new = breakpoint
    new.number = nextNumber
    nextNumber += 1
    breakpoints.append(new)
    apply(new, true)
    return new
  }

  func change(_ breakpoint: Breakpoint) {
    guard let place = breakpoints.firstIndex(where: { $0.number == breakpoint.number }) else { return }
    apply(breakpoints[place], false)
    breakpoints[place] = breakpoint
    if breakpoint.isEnabled { apply(breakpoint, true) }
  }

  func removeBreakpoint(_ number: Int) -> Bool {
    guard let place = breakpoints.firstIndex(where: { $0.number == number }) else { return false }
    let old = breakpoints.remove(at: place)
    apply(old, false)
    return true
  }

  private func apply(_ breakpoint: Breakpoint, _ isSet: Bool) {
    switch breakpoint.kind {
    case .code:
      // Another one may be at the same address.
      let isShared = breakpoints.contains {
        $0.number != breakpoint.number && $0.kind == .code && $0.isEnabled && $0.address == breakpoint.address
      }
      if isSet || !isShared { control.setBreakpoint(breakpoint.address, isSet) }
    case .range: control.setBreakpoints(in: breakpoint.bytes, isSet)
    case .data(let size, let kinds):
      control.setWatchpoint(Watchpoint(address: breakpoint.address, size: size, kinds: kinds), isSet)
    }
  }

  /// A thread has met a stop address: whether it is to stop there.
  func stops(_ thread: ControlledThread) -> Bool {
    let rip = thread.cpu.pointee.rip
    if hasLanded(thread) { return true }
    var result = false
    for place in breakpoints.indices
    where breakpoints[place].isMet(at: rip) {
      guard holds(breakpoints[place].condition, thread) else { continue }
      breakpoints[place].hits += 1
      result = true
    }
    return result
  }

  /// A condition that cannot be worked out stops.
  private func holds(_ condition: Expression?, _ thread: ControlledThread) -> Bool {
    guard let condition else { return true }
    let access = RegisterAccess(thread)
    let scope = Expression.Scope(
      name: { [unowned self] name in value(of: name, access) },
      memory: { [unowned self] address, size in
        let bytes = bytes(at: address, count: size)
        return bytes.count == size ? bytes.littleEndianNumber : nil
      })
    guard let value = try? condition.evaluate(scope) else { return true }
    return value != 0
  }

  private func value(of name: String, _ access: RegisterAccess) -> UInt64? {
    let known = Expression.registerName(name)
    let wanted = known.name == "rflags" ? "eflags" : known.name
    if let number = registerFile.number(of: wanted), registerFile.registers[number].size <= 8 {
      let whole = access.read(registerFile.registers[number]).reversed().reduce(UInt64(0)) {
        $0 &<< 8 | UInt64($1)
      }
      return whole &>> known.shift & known.mask
    }
    return objects?.address(named: name)
  }

  /// System calls stop that the person has named, or looks for.
  func applyCalls() {
    guard case .call(let pattern) = goal?.movement else { return control.caughtCalls = caughtCalls }
    let isAll = pattern.numbers.isEmpty || caughtCalls?.isEmpty ?? false
    control.caughtCalls = isAll ? [] : pattern.numbers.union(caughtCalls ?? [])
  }

  /// The stop at a system call is one that the person has asked for.
  func stops(atCall number: UInt64, isReturn: Bool, _ thread: ControlledThread) -> Bool {
    if let caughtCalls, caughtCalls.isEmpty || caughtCalls.contains(number) { return true }
    guard case .call(let pattern) = goal?.movement, isReturn else { return false }
    guard pattern.numbers.isEmpty || pattern.numbers.contains(number) else { return false }
    if let text = pattern.text, trace.lines.last?.contains(text) != true { return false }
    return holds(pattern.condition, thread)
  }

  /// execve(2) has happened: the old program's places mean nothing in the new one.
  func programBegan() {
    breakpoints = []
    landing = nil
    lastWrite = nil
    beginRecord()
  }
}
