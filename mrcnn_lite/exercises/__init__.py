"""Exercises of the course, a file for each chapter: text, stub, answer, hints, mistakes and unusual right answers.

    from mrcnn_lite.exercises import ch02 as ex
    ex.iou.check(my_iou); ex.iou.hint(); ex.iou.solution()

Read next: `exercise.py`.
"""
