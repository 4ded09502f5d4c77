"""The built-in teacher: databases, questions and SQL from a grammar, without any model. `teacher.GrammarTeacher` is the entry."""
