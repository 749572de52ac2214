"""A data set of two pictures, for the tests of what holds or wraps one."""

from __future__ import annotations

import numpy as np

from mrcnn_lite.data.dataset import Dataset, Objects
from mrcnn_lite.data.instances import mask_boxes


class TwoPictures(Dataset):
    """One picture with two objects and two keypoints each, one picture without objects."""

    class_names = ("background", "cat", "dog")
    keypoint_names = ("left_ear", "right_ear")
    skeleton = ((0, 1),)

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 2

    def read(self, i):
        self.reads += 1
        image = np.full((6, 8, 3), 255 * i, np.uint8)
        masks = np.zeros((2 * (1 - i), 6, 8), np.uint8)
        if i == 0:
            masks[0, 1:3, 2:5] = 1
            masks[1, 4, 7] = 1
        points = np.array([[[2.5, 1.5, 2], [4.5, 2.5, 1]], [[7.5, 4.5, 2], [0, 0, 0]]], np.float32)[: len(masks)]
        labels = np.array([2, 1], np.int64)[: len(masks)]
        return image, Objects(labels, mask_boxes(masks), masks, masks.sum((1, 2)), points)
