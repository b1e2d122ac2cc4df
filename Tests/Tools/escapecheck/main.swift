// Proves emitted code harmless: translates guest code, never executes it, and follows every host instruction (Checker/).
// What is proven, and what is not, is written down in Docs/translator-guard.md.
//
//     escapecheck [--seed S] [--samples N] [--chains N] [--isa DIRECTORY]   rows, addressing forms, chains, mutations
//     escapecheck --programs FILE…                                          all code of ELF files
//
// The last line is `N passed, M failed`; exit status 1 when anything failed.

import Glibc
import GuestMemory

// A guarded translator wants its window apart from everything else, as in `vitrine run`.
IsolatedWindow.evacuate { window in
  exit(EscapeCheck.main(Array(CommandLine.arguments.dropFirst()), window))
}
