/** @file Moves the hue of an image around the colour circle, as torchvision's adjust_hue does with bytes. */

/** What a share of 1 is scaled to before it is rounded down, so that 1 becomes 255: torchvision's. */
const scale = 255 + 1 - 1e-3;

/**
 * Adds to the hue of each pixel; saturation and value stay.
 * @param bytes red, green and blue plane of an image; changed in place
 * @param turn share of the colour circle, −0.5 to 0.5
 */
export function shiftHue(bytes: Uint8Array, turn: number): void {
  const plane = bytes.length / 3;
  for (let at = 0; at < plane; at++) {
    const [red, green, blue] = [at, at + plane, at + 2 * plane].map((place) => (bytes[place] as number) / 255) as [
      number,
      number,
      number,
    ];
    const most = Math.max(red, green, blue);
    const range = most - Math.min(red, green, blue);
    const hue = (((hueOf(red, green, blue, most, range) + turn) % 1) + 1) % 1;
    const shifted = colorOf(hue, range === 0 ? 0 : range / most, most);
    for (let channel = 0; channel < 3; channel++) {
      bytes[at + channel * plane] = Math.floor((shifted[channel] as number) * scale);
    }
  }
}

type Color = readonly [red: number, green: number, blue: number];

/** The hue from 0 to 1; 0 of grey. @param range the largest minus the least of the three */
function hueOf(red: number, green: number, blue: number, most: number, range: number): number {
  if (range === 0) return 0;
  if (most === red) return (((green - blue) / range / 6) % 1) + (green < blue ? 1 : 0);
  if (most === green) return (blue - red) / range / 6 + 1 / 3;
  return (red - green) / range / 6 + 2 / 3;
}

function colorOf(hue: number, saturation: number, value: number): Color {
  const sector = Math.floor(6 * hue);
  const within = 6 * hue - sector;
  const low = clamped(value * (1 - saturation));
  const falling = clamped(value * (1 - saturation * within));
  const rising = clamped(value * (1 - saturation * (1 - within)));
  switch (sector % 6) {
    case 0:
      return [value, rising, low];
    case 1:
      return [falling, value, low];
    case 2:
      return [low, value, rising];
    case 3:
      return [low, falling, value];
    case 4:
      return [rising, low, value];
    default:
      return [value, low, falling];
  }
}

function clamped(share: number): number {
  return Math.max(0, Math.min(1, share));
}
