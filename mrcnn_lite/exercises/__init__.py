"""Exercises of the course, a file for each chapter: text, stub, answer, hints, mistakes and unusual right answers.

    from mrcnn_lite.exercises import ch02 as ex, quiz
    ex.iou.check(my_iou); ex.iou.hint(); ex.iou.solution()
    quiz("02")                               # five questions that mark themselves

Read next: `exercise.py`, then `questions.py`.
"""

from .questions import quiz

__all__ = ["quiz"]
