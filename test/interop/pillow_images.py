"""Writes images, and what Pillow makes of them with the transforms of torchvision and Hugging Face.

Usage: pillow_images.py FOLDER KITTEN
For each case it writes the image, and the expected tensor as float32. `cases.json` has the settings.
"""

import json
import math
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

FOLDER, KITTEN = sys.argv[1:3]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
HALVES = ([0.5] * 3, [0.5] * 3)
FILTERS = {
    'nearest': Image.Resampling.NEAREST,
    'box': Image.Resampling.BOX,
    'bilinear': Image.Resampling.BILINEAR,
    'hamming': Image.Resampling.HAMMING,
    'bicubic': Image.Resampling.BICUBIC,
    'lanczos': Image.Resampling.LANCZOS,
}
cases = []


def resize_shortest(image, size, kernel):
    """torchvision.transforms.Resize(size) of a PIL image."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(size * long / short)
    new_size = (size, new_long) if width <= height else (new_long, size)
    return image.resize(new_size, FILTERS[kernel])


def center_crop(image, size, rounding=round):
    """torchvision.transforms.CenterCrop(size); Hugging Face rounds with math.floor."""
    width, height = image.size
    left, top = rounding((width - size) / 2), rounding((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def tensor(image, mean=None, std=None):
    """ToTensor and Normalize."""
    values = np.asarray(image, np.float64) / 255
    if mean is not None:
        values = (values - np.array(mean)) / np.array(std)
    values = values[..., None] if values.ndim == 2 else values
    return values.transpose(2, 0, 1)[None].astype(np.float32)


def letterbox(image, size, color):
    """As in ultralytics, with the resize of Pillow at the centres of pixels."""
    width, height = image.size
    scale = min(size / width, size / height)
    new_width, new_height = round(width * scale), round(height * scale)
    canvas = Image.new('RGB', (size, size), (color,) * 3)
    left = round((size - new_width) / 2 - 0.1)
    top = round((size - new_height) / 2 - 0.1)
    canvas.paste(resize_plain(image, new_width, new_height), (left, top))
    return canvas


def resize_plain(image, width, height):
    """Bilinear interpolation of the four nearest pixels, as cv2.resize with INTER_LINEAR."""
    pixels = np.asarray(image, np.float64)

    def axis(source, target):
        at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        first = np.floor(at).astype(int)
        return first, np.minimum(first + 1, source - 1), at - first

    top, bottom, down = axis(pixels.shape[0], height)
    left, right, across = axis(pixels.shape[1], width)
    down, across = down[:, None, None], across[None, :, None]
    upper = pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across
    lower = pixels[bottom][:, left] * (1 - across) + pixels[bottom][:, right] * across
    return Image.fromarray(np.rint(upper * (1 - down) + lower * down).astype(np.uint8))


def add(name, file, expected, settings, shape=None, preprocessor=None):
    expected.tofile(f'{FOLDER}/{len(cases)}.f32')
    cases.append(
        {
            'name': name,
            'file': file,
            'expected': f'{len(cases)}.f32',
            'shape': shape or list(expected.shape),
            'settings': settings,
            'preprocessor': preprocessor,
        }
    )


def png16(pixels, path):
    """Pillow cannot write RGB with 16 bits."""
    height, width, _ = pixels.shape
    rows = b''.join(b'\0' + pixels[row].astype('>u2').tobytes() for row in range(height))

    def chunk(kind, data):
        body = kind + data
        return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))

    header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header))
        file.write(chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def add_plans():
    kitten = Image.open(KITTEN).convert('RGB')
    wide = kitten.crop((0, 100, 701, 533))
    wide.save(f'{FOLDER}/wide.png')
    for file, image in (('kitten', kitten), ('wide.png', wide)):
        cropped = center_crop(resize_shortest(image, 256, 'bilinear'), 224)
        add(f'imagenet {file}', file, tensor(cropped, *IMAGENET), {'preset': 'imagenet'})
        cropped = center_crop(resize_shortest(image, 224, 'bicubic'), 224, math.floor)
        add(f'clip {file}', file, tensor(cropped, *CLIP), {'preset': 'clip'})
        cropped = center_crop(resize_shortest(image, 341, 'bicubic'), 299)
        add(f'inception {file}', file, tensor(cropped, *HALVES), {'preset': 'inception'})
        stretched = image.resize((224, 224), FILTERS['bilinear'])
        add(f'vit {file}', file, tensor(stretched, *HALVES), {'preset': 'vit'})
        add(f'yolo {file}', file, tensor(letterbox(image, 640, 114)), {'preset': 'yolo'})
        for kernel, pillow in FILTERS.items():
            for size in ((100, 75), (900, 811)):
                settings = {'kernel': kernel, 'width': size[0], 'height': size[1]}
                add(f'{kernel} {size} {file}', file, tensor(image.resize(size, pillow)), settings)
        gray = image.convert('L').resize((224, 224), FILTERS['bilinear'])
        add(f'gray {file}', file, tensor(gray), {'preset': 'unit', 'colors': 'grayscale'})
        size = {'kernel': 'fast', 'width': 224, 'height': 224}
        lanczos = image.resize((224, 224), FILTERS['lanczos'])
        add(f'fast {file}', file, tensor(lanczos), size)


def add_preprocessors():
    kitten = Image.open(KITTEN).convert('RGB')
    wide = Image.open(f'{FOLDER}/wide.png')
    clip = {
        'image_processor_type': 'CLIPImageProcessor',
        'do_resize': True,
        'size': {'shortest_edge': 224},
        'resample': 3,
        'do_center_crop': True,
        'crop_size': {'height': 224, 'width': 224},
        'do_normalize': True,
        'image_mean': CLIP[0],
        'image_std': CLIP[1],
        'do_convert_rgb': True,
    }
    cropped = center_crop(resize_shortest(wide, 224, 'bicubic'), 224, math.floor)
    add('CLIP file', 'wide.png', tensor(cropped, *CLIP), {}, preprocessor=clip)
    convnext = {
        'feature_extractor_type': 'ConvNextFeatureExtractor',
        'size': 224,
        'crop_pct': 0.875,
        'resample': 3,
        'image_mean': IMAGENET[0],
        'image_std': IMAGENET[1],
    }
    cropped = center_crop(resize_shortest(wide, 256, 'bicubic'), 224, math.floor)
    add('ConvNeXT file', 'wide.png', tensor(cropped, *IMAGENET), {}, preprocessor=convnext)
    detr = {
        'image_processor_type': 'DetrImageProcessor',
        'size': {'shortest_edge': 800, 'longest_edge': 1333},
        'do_pad': True,
        'image_mean': IMAGENET[0],
        'image_std': IMAGENET[1],
    }
    enlarged = resize_shortest(wide, 800, 'bilinear')
    shape = [-1, 3, -1, -1]
    add('DETR file', 'wide.png', tensor(enlarged, *IMAGENET), {}, shape, detr)
    segformer = {
        'image_processor_type': 'SegformerImageProcessor',
        'size': {'height': 512, 'width': 512},
        'resample': 2,
        'do_reduce_labels': True,
        'image_mean': IMAGENET[0],
        'image_std': IMAGENET[1],
    }
    stretched = kitten.resize((512, 512), FILTERS['bilinear'])
    add('SegFormer file', 'kitten', tensor(stretched, *IMAGENET), {}, preprocessor=segformer)


def add_formats():
    y, x = np.mgrid[0:60, 0:91]
    base = np.stack([x * 2.8, y * 4.2, (x + y) * 1.7], -1).astype(np.uint8)
    image = Image.fromarray(base)
    alpha = Image.fromarray((x * 2.7).astype(np.uint8))
    exif = Image.Exif()
    exif[0x112] = 6
    rgba = image.copy()
    rgba.putalpha(alpha)
    gray_alpha = image.convert('LA')
    gray_alpha.putalpha(alpha)
    palette = image.convert('P', palette=Image.Palette.ADAPTIVE, colors=50)
    files = {
        'plain.jpg': (image, {'quality': 75}),
        'progressive.jpg': (image, {'progressive': True}),
        'cmyk.jpg': (image.convert('CMYK'), {'quality': 95}),
        'gray.jpg': (image.convert('L'), {}),
        'turned.jpg': (image, {'exif': exif}),
        'rgba.png': (rgba, {}),
        'gray-alpha.png': (gray_alpha, {}),
        'palette.png': (palette, {}),
        'transparent-palette.png': (palette, {'transparency': 3}),
        'bits.png': (image.convert('1'), {}),
        'palette.gif': (palette, {}),
        'lossy.webp': (image, {'quality': 80}),
        'plain.tif': (image, {}),
        'plain.bmp': (image, {}),
        'palette.bmp': (palette, {}),
        'bits.bmp': (image.convert('1'), {}),
        'gray.bmp': (image.convert('L'), {}),
        'rgba.bmp': (rgba, {}),
    }
    for name, (drawn, options) in files.items():
        drawn.save(f'{FOLDER}/{name}', **options)
    png16(base.astype(np.uint16) * 256 + 77, f'{FOLDER}/deep.png')
    for name in [*files, 'deep.png']:
        decoded = ImageOps.exif_transpose(Image.open(f'{FOLDER}/{name}')).convert('RGB')
        size = {'width': decoded.width, 'height': decoded.height}
        add(name, name, tensor(decoded), {**size, 'kernel': 'bilinear'})
    deep = ((x * 700 + y * 13) % 65536).astype(np.uint16)
    Image.fromarray(deep).save(f'{FOLDER}/deep-gray.png')
    # Pillow sets everything above 255 to white here; the high byte is what it does with colours.
    high = Image.fromarray((deep >> 8).astype(np.uint8)).convert('RGB')
    add('deep-gray.png', 'deep-gray.png', tensor(high), {'kernel': 'bilinear'})
    for color, background in (('black', 0), ('white', 255)):
        flat = Image.new('RGB', rgba.size, (background,) * 3)
        flat.paste(rgba, mask=rgba.getchannel('A'))
        add(f'on {color}', 'rgba.png', tensor(flat), {'kernel': 'bilinear', 'alpha': color})


add_plans()
add_preprocessors()
add_formats()
with open(f'{FOLDER}/cases.json', 'w') as file:
    json.dump(cases, file)
