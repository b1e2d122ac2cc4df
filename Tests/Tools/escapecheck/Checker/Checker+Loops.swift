// Branches back to one place in a piece of code. The proof is an induction over the iterations: the first two are followed as they
// are, then a state is looked for that includes what comes back from it. Each pass checks every instruction again, so
// whatever iteration a concrete execution is in, some pass has seen a state that includes its own.

extension Checker {
  /// Passes after which a loop counts as not proven; those from which on what still grows is given up.
  private static let mostPasses = 24, patience = 4

  /// A branch to `target`, which lies before it or is itself.
  mutating func goBack(to target: Int, _ current: AbstractState) throws(Violation) {
    guard boundaries.contains(target) else { throw refuse("a branch into an instruction at \(target)") }
    if let register = current.exposed { throw refuse("loops with a host value in register \(register)") }
    if let known = returning {
      if known.head != target { throw refuse("a loop with two heads") }
      returning?.state.join(current)
    } else {
      returning = (target, current)
    }
  }

  /// Proves the loop that the first pass has found.
  mutating func followLoop() throws(Violation) {
    guard let first = returning else { return }
    var invariant = first.state
    invariant.forgetCounts()
    for pass in 1...Checker.mostPasses {
      returning = nil
      (guardedVector, countingVector) = (nil, nil)
      state = invariant
      try run(from: first.head)
      guard let (head, state) = returning else { return }
      if head != first.head {
        offset = head
        throw refuse("a loop with two heads")
      }
      if invariant.includes(state) { return }
      guard pass > 1 else {
        invariant = state
        invariant.forgetCounts()
        continue
      }
      let old = invariant
      invariant.join(state)
      invariant.forgetCounts()
      if pass >= Checker.patience { invariant.widen(since: old) }
    }
    offset = first.head
    throw refuse("a loop without an invariant")
  }
}
