// The silicon oracle: every executable row in every operand form, random and edge states, natively and by an engine.
//
//     oracle [--states N] [--seed S] [--row MNEMONIC|FILE.isa[:LINE]] [--show N] [--isa DIRECTORY]
//            [--engine NAME] [--capture FILE | --replay FILE]

import GuestMemory

IsolatedWindow.evacuate { window in Oracle.start(window) }
