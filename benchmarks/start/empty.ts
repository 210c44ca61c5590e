/** What a module that does nothing costs. */
export {};
