// The silicon oracle: every executable row in every operand form, random and edge states, natively and by an engine.
//
//     oracle [--states N] [--seed S] [--row MNEMONIC|FILE.isa[:LINE]] [--show N] [--isa DIRECTORY]
//            [--engine NAME] [--capture FILE | --replay FILE]

import CNative
import GuestMemory

// The oracle's areas are mapped at fixed addresses, whatever is there.
native_keep_heap_away(Layout.data, BlockLayout.code + BlockLayout.codeSize, CommandLine.unsafeArgv)
IsolatedWindow.evacuate { window in Oracle.start(window) }
