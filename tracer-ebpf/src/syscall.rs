//! System calls at their exit: the arguments are still in the saved registers, the user's pages
//! are resident and the result is known.
